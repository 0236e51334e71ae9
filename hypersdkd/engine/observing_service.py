"""The services of a daemon that only observes: everything is shown, nothing is moved, and manifests are submitted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, NoReturn

from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.index import Day, Ended
from hypersdkd.engine.job_detail import is_plain, job_detail
from hypersdkd.engine.job_rows import foreign_summary
from hypersdkd.engine.layout import ENDED
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.observed_queue import ObservedLayout
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.queue_service import QueueService
from hypersdkd.engine.queue_window import FOREIGN
from hypersdkd.model.job import JobSummary
from hypersdkd.model.moment import today
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import MANIFEST, JobDetail, JobPage, JobQuery, QueueInspection, Receipt
from hypersdkd.spec.ports import StatusView

#: The configuration's word for it, where else an executor is named.
OBSERVE: Final = "observe"


class ObserversAnnouncer(Announcer):
    """Tells every row as the owner's job that it is; nothing in a queue of another's is foreign."""

    def recorded(self, day: Day, name: str, row: Ended) -> None:
        """The owner writes its record after it has moved the file: the row has more to say now."""
        self.ended(day, name, row)

    def _tell(self, row: JobSummary) -> None:
        super()._tell(_owned(row))


class ObservingService(QueueService):
    """Implements ``spec.service.Workflow``; what only the owner can do is refused with ``queue-observed``."""

    def __init__(self, parts: QueueParts, layout: ObservedLayout) -> None:
        super().__init__(parts)
        self._layout = layout
        self.draining = False

    def view(self) -> StatusView:
        """What the core knows of itself and of the queue. ``max_workers`` is what the configuration says, which the
        owner may have been given too."""
        return replace(
            super().view(),
            max_workers=self._parts.config.settings.workflow.max_workers,
            draining=self.draining,
            executor=OBSERVE,
            missing_directories=self._layout.missing(),
        )

    def ready(self) -> str:
        """Why nothing is shown; empty when it is."""
        return "the daemon is stopping" if self.draining else ""

    # -- jobs -------------------------------------------------------------------------------------

    async def jobs(self, query: JobQuery) -> JobPage:
        """A page of jobs."""
        page = await super().jobs(query)
        return replace(page, jobs=tuple(map(_owned, page.jobs)))

    async def job(self, job_id: str) -> JobDetail:
        """One job in whatever state it is."""
        detail = await super().job(job_id)
        return replace(detail, summary=_owned(detail.summary))

    async def queue(self, limit: int = 1000) -> QueueInspection:
        """The drop directory; what lies in ``processing/`` is the owner's, and counted as such."""
        inspection = await super().queue(limit)
        return replace(inspection, foreign=(), left_out={**inspection.left_out, FOREIGN: 0})

    async def report(self, job_id: str) -> Mapping[str, object]:
        """The owner's record of an ended job."""
        if self._running(job_id) is not None:
            raise fail("job-state", f"{job_id} is being worked; the daemon that does so leaves its record at the end")
        return await super().report(job_id)

    # -- what the owner takes ---------------------------------------------------------------------

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        """As elsewhere; but hyper2kvm in disk mode knows no manifests, and takes a relative input from elsewhere."""
        if self._parts.mode == "disk" and not self._layout.of_hypersdkd():
            validation = await self.validate(text, syntax)
            if validation.valid and validation.taken_for == MANIFEST:
                remedy = "Write a job config instead; docs/job-configs.md has its keys."
                raise fail("manifest-unsupported", "hyper2kvm takes no manifests in disk mode", remedy=remedy)
            inputs = [disk.source_path for guest in validation.guests for disk in guest.disks]
            relative = next((path for path in inputs if not path.startswith("/")), "")
            if relative:
                message = f"hyper2kvm would look for {relative} in the directory that it was started in"
                raise fail("manifest-value", message, remedy="Write the input as an absolute path.", path="input")
        return await super().submit(text, syntax, idempotency_key, default_name)

    # -- what only the owner can do ---------------------------------------------------------------

    async def cancel(self, job_id: str) -> None:
        """Refused."""
        await self.job(job_id)
        self._refuse(f"{job_id} cannot be cancelled")

    async def retry(self, job_id: str) -> None:
        """Refused."""
        await self.job(job_id)
        self._refuse(f"{job_id} cannot be retried")

    async def pause(self) -> None:
        """Refused."""
        self._refuse("the queue cannot be paused")

    async def resume(self) -> None:
        """Refused."""
        self._refuse("the queue cannot be resumed")

    def _refuse(self, what: str) -> NoReturn:
        raise fail("queue-observed", f"{what} here: another daemon works {self._layout.base}")

    # -- finding jobs -----------------------------------------------------------------------------

    def _running(self, job_id: str) -> JobDetail | None:
        for name, mtime in self._parts.index.foreign():
            if file_name_for_display(name) == job_id:
                path = str(self._layout.processing / file_name_for_display(name))
                return job_detail(foreign_summary(name, mtime), path, self._parts.claims.read(job_id), None)
        return None

    def _between(self, job_id: str) -> JobDetail:
        """On the disk already and not in the index yet; in the order in which the owner moves a file."""
        try:
            return super()._between(job_id)
        except ProblemError:
            if not is_plain(job_id):
                raise
            with suppress(OSError):
                found = (self._layout.processing / job_id).lstat()
                return job_detail(foreign_summary(job_id, found.st_mtime_ns), "", None, None)
            for kind in ENDED:
                day = (kind, today())
                with suppress(OSError):
                    found = (self._layout.base / kind / day[1] / job_id).lstat()
                    return self._ended(job_id, day, job_id, Ended(found.st_mtime_ns))
            raise


def _owned(row: JobSummary) -> JobSummary:
    return replace(row, foreign=False)
