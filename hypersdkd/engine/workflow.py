"""The services of a daemon that works its queue: what HTTP, and later others, may ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from hypersdkd.engine.job_detail import job_detail
from hypersdkd.engine.job_log import job_log
from hypersdkd.engine.job_rows import active_summary
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.queue_service import QueueService
from hypersdkd.engine.scheduler import Scheduler
from hypersdkd.engine.workshop import Workshop
from hypersdkd.host.files import write_replacing
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import JobDetail
from hypersdkd.spec.ports import StatusView

#: Seconds before each further look for a job that is to be cancelled and is being moved: a claim takes a few writes.
_LOOKS_AGAIN: Final = (0.01, 0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Crew(QueueParts):
    """The parts of the engine that the services speak to, those that work included."""

    scheduler: Scheduler
    shop: Workshop


class WorkflowService(QueueService):
    """Implements ``spec.service.Workflow``."""

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew)
        self._crew = crew
        self._ending: set[asyncio.Task[None]] = set()

    # -- status -----------------------------------------------------------------------------------

    def view(self) -> StatusView:
        """What the core knows of itself."""
        crew = self._crew
        etas = [guest.eta_seconds or 0 for job in crew.scheduler.jobs() for guest in job.summary().guests]
        return replace(
            super().view(),
            max_workers=crew.shop.slots.capacity,
            workers_running=crew.shop.slots.in_use,
            paused=self.paused,
            draining=crew.scheduler.draining,
            executor=crew.shop.executor.name,
            eta_seconds=max(etas) if any(etas) else None,
        )

    def ready(self) -> str:
        """Why no work is taken; empty when it is."""
        if self._crew.scheduler.draining:
            return "the daemon is stopping"
        return "the queue is paused" if self.paused else ""

    # -- jobs -------------------------------------------------------------------------------------

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end. One that is just being moved is looked for again."""
        refusal: ProblemError | None = None
        for pause in _LOOKS_AGAIN:
            if await self._cancel_running(job_id):
                return
            pending = self._pending_name(job_id)
            if pending is not None:
                with _storage():
                    try:
                        await self._crew.scheduler.cancel_pending(pending)
                    except ProblemError as error:  # claimed a moment ago: it runs, or has even ended; or it has to wait
                        refusal = error
                    else:
                        return
            detail = await self.job(job_id)
            if detail.summary.foreign or detail.summary.status not in {JobState.PENDING, JobState.PROCESSING}:
                break
            await asyncio.sleep(pause)
        if refusal is not None and detail.summary.status is JobState.PENDING:
            raise refusal
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
            job_log(job_id).warning("the cancel would not survive a restart", error=str(error))
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

    # -- finding jobs -----------------------------------------------------------------------------

    def _running(self, job_id: str) -> JobDetail | None:
        work = self._crew.scheduler.job(job_id)
        if work is None:
            return None
        guests = tuple(fold.progress() for fold in work.folds())
        path = self._crew.shop.spool.layout.processing / work.claim.file
        return job_detail(replace(active_summary(work), guests=guests), str(path), work.claim, None)

    def _report_so_far(self, job_id: str) -> Mapping[str, object] | None:
        work = self._crew.scheduler.job(job_id)
        return work.ending(None).so_far() if work is not None else None


@contextmanager
def _storage() -> Iterator[None]:
    """What is asked for and cannot be done now, since the queue's storage refuses, is a problem to be told."""
    try:
        yield
    except OSError as error:
        remedy = "Look at the storage of the queue: free space if it is full, then ask again."
        raise fail("queue-unusable", f"the queue's storage fails: {error.strerror or error}", remedy=remedy) from error
