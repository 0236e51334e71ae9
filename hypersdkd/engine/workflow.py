"""The daemon's services: what HTTP, and later others, may ask of a running daemon."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

import hypersdkd
from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.broadcast import Listener
from hypersdkd.engine.claims import ClaimState
from hypersdkd.engine.door import Door
from hypersdkd.engine.generation import draft_manifest
from hypersdkd.engine.history import events_page, last_lines
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.index import Day, Ended, Index, QueueWindow
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.job_detail import is_plain, job_detail
from hypersdkd.engine.key_book import KeyBook
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.queries import (
    Queries,
    active_summary,
    ended_summary,
    foreign_summary,
    pending_summary,
    with_record,
)
from hypersdkd.engine.scheduler import Scheduler
from hypersdkd.engine.submissions import Submissions
from hypersdkd.engine.validation import validate
from hypersdkd.engine.workshop import Workshop
from hypersdkd.host.files import write_replacing
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.moment import today
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.replies import (
    EventPage,
    JobDetail,
    JobPage,
    JobQuery,
    ManifestInvalidError,
    QueueInspection,
    Receipt,
    Validation,
)
from hypersdkd.spec.ports import StatusView
from hypersdkd.spec.types import Submission

#: Large manifests that are judged at once for those who ask by the API, and bytes from which on one is large.
_JUDGED_AT_ONCE: Final = 4
_LARGE: Final = 64 << 10

#: Seconds before each further look for a job that is to be cancelled and is being moved: a claim takes a few writes.
_LOOKS_AGAIN: Final = (0.01, 0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Crew:
    """The parts of the engine that the services speak to."""

    mode: str
    mode_reason: str
    index: Index
    announcer: Announcer
    queries: Queries
    intake: Intake
    scheduler: Scheduler
    shop: Workshop
    plugins: Plugins
    calls: HookCalls
    door: Door


class WorkflowService:
    """Implements ``spec.service.Workflow``."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._started = time.monotonic()
        self._life = secrets.token_hex(4)  # versions start anew with each daemon
        self._submissions = Submissions(crew.calls, crew.door, KeyBook(crew.shop.spool.layout.private / "keys"))
        self._judging = 0
        self._ending: set[asyncio.Task[None]] = set()

    # -- status -----------------------------------------------------------------------------------

    async def status(self) -> Mapping[str, object]:
        """The fields of every status plugin; no plugin replaces another's."""
        answers = await self._crew.calls.each("hypersdkd_status", view=self.view())
        fields: dict[str, object] = {}
        for _record, answer in reversed(answers):
            if isinstance(answer, Mapping):
                fields.update({key: value for key, value in answer.items() if key not in fields})
        return fields

    def view(self) -> StatusView:
        """What the core knows of itself."""
        crew, date = self._crew, today()
        index, slots = crew.index, crew.shop.slots
        etas = [guest.eta_seconds or 0 for job in crew.scheduler.jobs() for guest in job.summary().guests]
        return StatusView(
            mode=crew.mode,
            mode_reason=crew.mode_reason,
            version=hypersdkd.__version__,
            base_dir=str(crew.shop.spool.layout.base),
            pending=index.queue_depth(),
            processing=index.processing_count(),
            processed_today=index.count_ended(JobState.COMPLETED, date),
            failed_today=index.count_ended(JobState.FAILED, date),
            cancelled_today=index.count_ended(JobState.CANCELLED, date),
            waiting=index.waiting_count(),
            max_workers=slots.capacity,
            workers_running=slots.in_use,
            uptime_seconds=int(time.monotonic() - self._started),
            paused=self.paused,
            draining=crew.scheduler.draining,
            executor=crew.shop.executor.name,
            free_bytes=_free_bytes(crew),
            eta_seconds=max(etas) if any(etas) else None,
            last_error=index.last_error,
            plugins=[record.as_dict() for record in crew.plugins.records],
        )

    def ready(self) -> str:
        """Why no work is taken; empty when it is."""
        if self._crew.scheduler.draining:
            return "the daemon is stopping"
        return "the queue is paused" if self.paused else ""

    async def queue(self, limit: int = 1000) -> QueueInspection:
        """What the first plugin that inspects queues says."""
        window = QueueWindow(self._crew.index, limit)
        answer = await self._crew.calls.first("hypersdkd_inspect_queue", queue=window)
        if isinstance(answer, QueueInspection):
            left_out = {"pending" if kind == "ready" else kind: count for kind, count in window.left_out.items()}
            return replace(answer, left_out=left_out)
        raise fail("plugin-failed", "no plugin inspects the queue", remedy="Enable the plugin queue_inspection again.")

    # -- jobs -------------------------------------------------------------------------------------

    async def jobs(self, query: JobQuery) -> JobPage:
        """A page of jobs."""
        return await self._crew.queries.page(query)

    def revision(self, query: JobQuery) -> str:
        """The index's version, unless something runs that the query shows: its progress is not in the index."""
        index = self._crew.index
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
            return await self._crew.queries.read(lambda: self._ended(job_id, *ended))
        foreign = dict(self._crew.index.foreign())
        if job_id in foreign:
            summary = foreign_summary(job_id, foreign[job_id])
            return job_detail(summary, str(self._crew.shop.spool.layout.processing / job_id), None, None)
        return await self._crew.queries.read(lambda: self._between(job_id))

    async def events(self, job_id: str, limit: int = 1000, cursor: str = "") -> EventPage:
        """A page of the events of a job that is still on record."""
        guests = await self._guests_of(job_id)
        return await self._crew.queries.read(lambda: events_page(guests, limit, cursor))

    async def log(self, job_id: str, lines: int) -> Sequence[str]:
        """The last lines of each guest's log, in the order of the guests."""
        guests = await self._guests_of(job_id)
        return await self._crew.queries.read(lambda: last_lines(guests, lines))

    async def report(self, job_id: str) -> Mapping[str, object]:
        """The record of an ended job, or how a running one fares so far."""
        work = self._crew.scheduler.job(job_id)
        if work is not None:
            return work.ending(None).so_far()
        ended = self._find_ended(job_id)
        if ended is None:
            await self.job(job_id)
            raise fail("job-state", f"{job_id} has not started yet, so there is no report")
        record = await self._crew.queries.read(lambda: self._crew.queries.sidecar(*ended[:2]))
        if not record:
            raise fail("not-found", f"there is no record beside {job_id}")
        return record

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end. One that is just being moved is looked for again."""
        for pause in _LOOKS_AGAIN:
            if await self._cancel_running(job_id):
                return
            pending = self._pending_name(job_id)
            if pending is not None:
                with _storage(), suppress(ProblemError):  # claimed a moment ago: it runs, or has even ended
                    await self._crew.scheduler.cancel_pending(pending)
                    return
            detail = await self.job(job_id)
            if detail.summary.foreign or detail.summary.status not in {JobState.PENDING, JobState.PROCESSING}:
                break
            await asyncio.sleep(pause)
        why = "another daemon works it" if detail.summary.foreign else f"it is {detail.summary.status.value}"
        raise fail("job-state", f"{job_id} cannot be cancelled: {why}")

    async def _cancel_running(self, job_id: str) -> bool:
        work = self._crew.scheduler.job(job_id)
        if work is None:
            return False
        claims = self._crew.shop.spool.claims
        try:
            await self._crew.shop.in_disk_thread(lambda: claims.ask_cancel(job_id))
        except OSError as error:  # a full disk is when a cancel is wanted most
            structlog.get_logger().warning("the cancel would not survive a restart", job=job_id, error=str(error))
        task = asyncio.create_task(work.cancel())  # ending libguestfs's QEMU takes seconds
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return True

    async def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back into the drop directory."""
        ended = self._find_ended(job_id)
        if ended is None or ended[0][0] != "failed":
            detail = await self.job(job_id)
            raise fail("job-state", f"{job_id} cannot be retried: it is {detail.summary.status.value}")
        (_kind, date), file, _row = ended
        spool = self._crew.shop.spool
        with _storage():
            claim = await self._crew.scheduler.move(lambda: spool.retry(job_id, date, file))
        self._crew.index.set_ended(ended[0], file, None)
        self._crew.intake.look_at(claim.file)

    # -- manifests --------------------------------------------------------------------------------

    async def validate(self, text: bytes, syntax: str = "") -> Validation:
        """Judge a manifest by every plugin's rules. Raises ``request-busy`` and ``rules-unavailable``."""
        large = len(text) > _LARGE
        if large and self._judging >= _JUDGED_AT_ONCE:
            problem = Problem("request-busy", f"{_JUDGED_AT_ONCE} large manifests are being judged already")
            raise ProblemError(problem, retry_after=1.0)
        self._judging += large
        try:
            return await validate(self._crew.calls, text, syntax, urgent=False)
        finally:
            self._judging -= large

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        """Validate, then hand it to the first plugin that puts it into the queue."""
        if self._crew.mode != "manifest":
            raise fail("manifest-unsupported", "this daemon works a queue of disks", remedy="Set mode: manifest.")
        validation = await self.validate(text, syntax)
        if not validation.valid:
            raise ManifestInvalidError(validation)
        document = dict(validation.document)
        if default_name and not validation.name:
            document["name"] = default_name
        submission = Submission(text, document, validation.name or default_name)
        digest = hashlib.sha256(b"\0".join((text, default_name.encode("utf-8", "surrogatepass")))).hexdigest()
        receipt = await self._submissions.submit(submission, idempotency_key, digest)
        self._crew.intake.look_at(receipt.job_id)
        return receipt

    async def generate(self, source_path: str, output_format: str, compress: bool) -> Mapping[str, object]:
        """A manifest for a source that is below the allowed roots."""
        roots = self._crew.shop.places.source_roots
        draft = await self._crew.queries.read(
            lambda: draft_manifest(source_path, roots, output_format, compress=compress)
        )
        return draft.document()

    # -- pause ------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether nothing more is started."""
        return self._crew.shop.spool.layout.pause_mark.exists()

    async def pause(self) -> None:
        """Start nothing more; survives a restart."""
        with _storage():
            await self._crew.shop.in_disk_thread(lambda: write_replacing(self._crew.shop.spool.layout.pause_mark, b""))
        self._crew.shop.slots.shut()
        self._crew.announcer.switched(paused=True)

    async def resume(self) -> None:
        """Go on."""
        mark = self._crew.shop.spool.layout.pause_mark
        with _storage():
            await self._crew.shop.in_disk_thread(lambda: mark.unlink(missing_ok=True))
        if not self._crew.scheduler.draining:
            self._crew.shop.slots.reopen()
            self._crew.scheduler.wake()
        self._crew.announcer.switched(paused=False)

    # -- live -------------------------------------------------------------------------------------

    def listen(self, last_id: str = "") -> Listener:
        """Hear of every change after ``last_id``."""
        return self._crew.announcer.broadcast.listen(last_id)

    # -- finding jobs -----------------------------------------------------------------------------

    def _pending_name(self, job_id: str) -> str | None:
        """The name in the drop directory that a job ID means."""
        index = self._crew.index
        names = [job_id] if index.drop_entry(job_id) else [n for n, _e in index.pending_in_order() if _shown(n, job_id)]
        return names[0] if names and not self._crew.intake.ignores(names[0]) else None

    def _find_ended(self, job_id: str) -> tuple[Day, str, Ended] | None:
        claim = self._crew.shop.spool.claims.read(job_id) if is_plain(job_id) else None
        file = claim.target if claim is not None and claim.target else self._crew.index.ended_name(job_id)
        found = self._crew.queries.find_ended(file)
        return (found[0], file, found[1]) if found else None

    def _running(self, job_id: str) -> JobDetail | None:
        work = self._crew.scheduler.job(job_id)
        if work is None:
            return None
        guests = tuple(fold.progress() for fold in work.folds())
        path = self._crew.shop.spool.layout.processing / work.claim.file
        return job_detail(replace(active_summary(work), guests=guests), str(path), work.claim, None)

    def _in_drop(self, job_id: str) -> JobDetail | None:
        name = self._pending_name(job_id)
        entry = self._crew.index.drop_entry(name) if name is not None else None
        if name is None or entry is None:
            return None
        path = self._crew.shop.spool.layout.drop / file_name_for_display(name)
        return job_detail(pending_summary(name, entry), str(path), self._crew.shop.spool.claims.read(job_id), None)

    def _ended(self, job_id: str, day: Day, file: str, row: Ended) -> JobDetail:
        record = self._crew.queries.head(day, file)
        summary = with_record(ended_summary(day, file, row), record)
        path = self._crew.shop.spool.layout.base / day[0] / day[1] / file
        claim = self._crew.shop.spool.claims.read(job_id)
        return job_detail(replace(summary, id=job_id), str(path), claim, record)

    def _between(self, job_id: str) -> JobDetail:
        """A job that is just being moved, so that the index does not know it for a moment: ask the disk."""
        if is_plain(job_id):
            spool = self._crew.shop.spool
            claim = spool.claims.read(job_id)
            if claim is not None and claim.state not in {ClaimState.PENDING, ClaimState.FINISHED}:
                summary = JobSummary(job_id, JobState.PROCESSING, "QUEUED", started_at=claim.claimed_at)
                return job_detail(summary, str(spool.layout.processing / claim.file), claim, None)
            if os.path.lexists(spool.layout.drop / job_id) and not self._crew.intake.refuses(job_id):
                summary = JobSummary(job_id, JobState.PENDING, "PENDING")
                return job_detail(summary, str(spool.layout.drop / job_id), claim, None)
            if claim is not None and claim.target:
                day = ("processed" if claim.outcome == JobState.COMPLETED.value else "failed", claim.date)
                path = spool.layout.base / day[0] / day[1] / claim.target
                if path.exists():
                    row = Ended(path.stat().st_mtime_ns, claim.outcome == JobState.CANCELLED.value)
                    return self._ended(job_id, day, claim.target, row)
        raise fail("job-unknown", f"there is no job {job_id}")

    async def _guests_of(self, job_id: str) -> Sequence[Path]:
        await self.job(job_id)
        return await self._crew.queries.read(lambda: self._crew.shop.spool.claims.guest_directories(job_id))


def _shown(name: str, job_id: str) -> bool:
    return file_name_for_display(name) == job_id


@contextmanager
def _storage() -> Iterator[None]:
    """What is asked for and cannot be done now, since the queue's storage refuses, is a problem to be told."""
    try:
        yield
    except OSError as error:
        remedy = "Look at the storage of the queue: free space if it is full, then ask again."
        raise fail("queue-unusable", f"the queue's storage fails: {error.strerror or error}", remedy=remedy) from error


def _free_bytes(crew: Crew) -> int:
    output = crew.shop.places.output
    try:
        return shutil.disk_usage(output if output.exists() else crew.shop.spool.layout.base).free
    except OSError:  # the storage is away: the rest of the status is true all the same
        return 0
