"""What a daemon tells of its queue, whoever works it: status, jobs, records, events; and the way in for manifests."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import hypersdkd
from hypersdkd.engine.artifacts import artifacts_of, content_of
from hypersdkd.engine.broadcast import Listener
from hypersdkd.engine.claims import ClaimState
from hypersdkd.engine.history import events_page, last_lines
from hypersdkd.engine.index import Day, Ended
from hypersdkd.engine.job_detail import is_plain, job_detail
from hypersdkd.engine.job_rows import ended_summary, foreign_summary, pending_summary
from hypersdkd.engine.manifest_desk import ManifestDesk
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.queries import with_record
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.queue_window import QueueWindow
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.manifest_draft import ManifestWish
from hypersdkd.model.moment import today
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import (
    Artifact,
    ArtifactContent,
    EventPage,
    JobDetail,
    JobPage,
    JobQuery,
    QueueInspection,
    Receipt,
    Validation,
)
from hypersdkd.spec.ports import StatusView


class QueueService:
    """The part of ``spec.service.Workflow`` that reads and submits. Who works the queue adds the rest."""

    def __init__(self, parts: QueueParts) -> None:
        self._parts = parts
        self._desk = ManifestDesk(parts)
        self._started = time.monotonic()
        self._life = secrets.token_hex(4)  # versions start anew with each daemon

    # -- status -----------------------------------------------------------------------------------

    async def status(self) -> Mapping[str, object]:
        """The fields of every status plugin; no plugin replaces another's."""
        answers = await self._parts.calls.each("hypersdkd_status", view=self.view())
        fields: dict[str, object] = {}
        for _record, answer in reversed(answers):
            if isinstance(answer, Mapping):
                fields.update({key: value for key, value in answer.items() if key not in fields})
        return fields

    def view(self) -> StatusView:
        """What the core knows of itself, and of workers nothing: whoever has any adds it."""
        parts, date = self._parts, today()
        index = parts.index
        return StatusView(
            mode=parts.mode,
            mode_reason=parts.mode_reason,
            version=hypersdkd.__version__,
            base_dir=str(parts.layout.base),
            pending=index.queue_depth(),
            processing=index.processing_count(),
            processed_today=index.count_ended(JobState.COMPLETED, date),
            failed_today=index.count_ended(JobState.FAILED, date),
            cancelled_today=index.count_ended(JobState.CANCELLED, date),
            waiting=index.waiting_count(),
            max_workers=0,
            workers_running=0,
            uptime_seconds=int(time.monotonic() - self._started),
            paused=False,
            draining=False,
            executor="",
            free_bytes=_free_bytes(parts),
            eta_seconds=None,
            last_error=index.last_error,
            config=parts.config.as_dict(),
            plugins=[record.as_dict() for record in parts.calls.plugins.records],
        )

    async def queue(self, limit: int = 1000) -> QueueInspection:
        """What the first plugin that inspects queues says."""
        window = QueueWindow(self._parts.index, limit)
        answer = await self._parts.calls.first("hypersdkd_inspect_queue", queue=window)
        if isinstance(answer, QueueInspection):
            left_out = {"pending" if kind == "ready" else kind: count for kind, count in window.left_out.items()}
            return replace(answer, left_out=left_out)
        raise fail("plugin-failed", "no plugin inspects the queue", remedy="Enable the plugin queue_inspection again.")

    # -- jobs -------------------------------------------------------------------------------------

    async def jobs(self, query: JobQuery) -> JobPage:
        """A page of jobs."""
        return await self._parts.queries.page(query)

    def revision(self, query: JobQuery) -> str:
        """The index's version, unless something runs that the query shows: its progress is not in the index."""
        index = self._parts.index
        shows_running = not query.date and (not query.states or JobState.PROCESSING in query.states)
        if shows_running and index.processing_count():
            return ""
        return f"{self._life}v{index.version}"

    async def job(self, job_id: str) -> JobDetail:
        """One job in whatever state it is."""
        detail = self._running(job_id) or self._in_drop(job_id)
        if detail is not None:
            return detail
        ended = self._find_ended(job_id)
        if ended is not None:
            return await self._parts.queries.read(lambda: self._ended(job_id, *ended))
        foreign = dict(self._parts.index.foreign())
        if job_id in foreign:
            summary = foreign_summary(job_id, foreign[job_id])
            return job_detail(summary, str(self._parts.layout.processing / job_id), None, None)
        return await self._parts.queries.read(lambda: self._between(job_id))

    async def events(self, job_id: str, limit: int = 1000, cursor: str = "") -> EventPage:
        """A page of the events of a job that is still on record."""
        guests = await self._guests_of(job_id)
        return await self._parts.queries.read(lambda: events_page(guests, limit, cursor))

    async def log(self, job_id: str, lines: int) -> Sequence[str]:
        """The last lines of each guest's log, in the order of the guests."""
        guests = await self._guests_of(job_id)
        return await self._parts.queries.read(lambda: last_lines(guests, lines))

    async def report(self, job_id: str) -> Mapping[str, object]:
        """The record of an ended job, or how a running one fares so far."""
        running = self._report_so_far(job_id)
        if running is not None:
            return running
        ended = self._find_ended(job_id)
        if ended is None:
            await self.job(job_id)
            raise fail("job-state", f"{job_id} has not started yet, so there is no report")
        record = await self._parts.queries.read(lambda: self._parts.queries.sidecar(*ended[:2]))
        if not record:
            raise fail("not-found", f"there is no record beside {job_id}")
        return record

    async def artifacts(self, job_id: str) -> Sequence[Artifact]:
        """What the guests of a job read and left."""
        guests = await self._guests_of(job_id)
        try:
            record = await self.report(job_id)
        except ProblemError as error:
            if error.problem.code not in {"job-state", "not-found"}:
                raise
            return ()
        return await self._parts.queries.read(lambda: artifacts_of(record, guests))

    async def artifact(self, job_id: str, number: int) -> ArtifactContent:
        """One of them, if it is to be sent."""
        found = await self.artifacts(job_id)
        if not 0 <= number < len(found):
            raise fail("artifact-unknown", f"{job_id} has no artifact {number}")
        return await self._parts.queries.read(lambda: content_of(found[number]))

    # -- manifests --------------------------------------------------------------------------------

    async def validate(self, text: bytes, syntax: str = "") -> Validation:
        """Judge a manifest by every plugin's rules. Raises ``request-busy`` and ``rules-unavailable``."""
        return await self._desk.validate(text, syntax)

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        """Validate, then hand it to the first plugin that puts it into the queue."""
        return await self._desk.submit(text, syntax, idempotency_key, default_name)

    async def generate(self, wish: ManifestWish) -> Mapping[str, object]:
        """A manifest for a source that is below the allowed roots."""
        return await self._desk.generate(wish)

    # -- live -------------------------------------------------------------------------------------

    def listen(self, last_id: str = "") -> Listener:
        """Hear of every change after ``last_id``."""
        return self._parts.announcer.broadcast.listen(last_id)

    # -- finding jobs -----------------------------------------------------------------------------

    def _pending_name(self, job_id: str) -> str | None:
        """The name in the drop directory that a job ID means."""
        name = self._parts.index.drop_name(job_id)
        return name if name is not None and not self._parts.intake.ignores(name) else None

    def _find_ended(self, job_id: str) -> tuple[Day, str, Ended] | None:
        claim = self._parts.claims.read(job_id) if is_plain(job_id) else None
        file = claim.target if claim is not None and claim.target else self._parts.index.ended_name(job_id)
        found = self._parts.queries.find_ended(file)
        return (found[0], file, found[1]) if found else None

    def _running(self, job_id: str) -> JobDetail | None:
        """A job that this daemon works."""
        return None

    def _report_so_far(self, job_id: str) -> Mapping[str, object] | None:
        """How a job that this daemon works fares."""
        return None

    def _in_drop(self, job_id: str) -> JobDetail | None:
        name = self._pending_name(job_id)
        entry = self._parts.index.drop_entry(name) if name is not None else None
        if name is None or entry is None:
            return None
        path = self._parts.layout.drop / file_name_for_display(name)
        claim, companions = self._parts.claims.read(job_id), self._parts.index.companions(name)
        return job_detail(pending_summary(name, entry), str(path), claim, None, companions)

    def _ended(self, job_id: str, day: Day, file: str, row: Ended) -> JobDetail:
        record = self._parts.queries.head(day, file)
        summary = with_record(ended_summary(day, file, row), record)
        path = self._parts.layout.base / day[0] / day[1] / file
        claim = self._parts.claims.read(job_id)
        return job_detail(replace(summary, id=job_id), str(path), claim, record)

    def _between(self, job_id: str) -> JobDetail:
        """A job that is just being moved, so that the index does not know it for a moment: ask the disk, in the order
        in which it moves. The claim is on the disk before the file leaves the drop directory."""
        if is_plain(job_id):
            layout = self._parts.layout
            in_drop = os.path.lexists(layout.drop / job_id) and not self._parts.intake.refuses(job_id)
            claim = self._parts.claims.read(job_id)
            if claim is not None and claim.state not in {ClaimState.PENDING, ClaimState.FINISHED}:
                summary = JobSummary(job_id, JobState.PROCESSING, "QUEUED", started_at=claim.claimed_at)
                return job_detail(summary, str(layout.processing / claim.file), claim, None)
            if in_drop:
                summary = JobSummary(job_id, JobState.PENDING, "PENDING")
                return job_detail(summary, str(layout.drop / job_id), claim, None)
            if claim is not None and claim.target:
                day = ("processed" if claim.outcome == JobState.COMPLETED.value else "failed", claim.date)
                path = layout.base / day[0] / day[1] / claim.target
                if path.exists():
                    row = Ended(path.stat().st_mtime_ns, claim.outcome == JobState.CANCELLED.value)
                    return self._ended(job_id, day, claim.target, row)
        raise fail("job-unknown", f"there is no job {job_id}")

    async def _guests_of(self, job_id: str) -> Sequence[Path]:
        await self.job(job_id)
        return await self._parts.queries.read(lambda: self._parts.claims.guest_directories(job_id))


def _free_bytes(parts: QueueParts) -> int:
    output = parts.places.output
    try:
        return shutil.disk_usage(output if output.exists() else parts.layout.base).free
    except OSError:  # the storage is away: the rest of the status is true all the same
        return 0
