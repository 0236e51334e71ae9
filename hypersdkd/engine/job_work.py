"""One claimed job from its claim to its end: plan it, see its guests through, write its record."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from hypersdkd.engine.attendant import Attendant, wait_all
from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.guest_files import WorkOrder, guest_run
from hypersdkd.engine.job_log import job_log, log_event
from hypersdkd.engine.job_orders import guest_directory, write_orders
from hypersdkd.engine.job_outcome import JobProgress, log_lines, outcome_of
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.plan import dropped_disk, suffix_of
from hypersdkd.engine.workshop import Workshop
from hypersdkd.host.files import read_regular
from hypersdkd.model.document import MAX_BYTES
from hypersdkd.model.event import Event
from hypersdkd.model.guest import Guest
from hypersdkd.model.job import JobState, JobSummary, stem
from hypersdkd.model.job_config import numbered
from hypersdkd.model.moment import now
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import JOB_CONFIG, Validation
from hypersdkd.model.report import GuestFold
from hypersdkd.model.sidecar import Ending

#: Seconds between two tries when the queue's own file system refuses a write.
_STORAGE_RETRY: Final = 5.0

#: Errors of storage or of the host that pass by themselves or by an operator's hand.
_PASSING: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EROFS,
        errno.ESTALE,
        errno.EMFILE,
        errno.ENFILE,
        errno.EAGAIN,
        errno.ENOMEM,
    }
)

#: Tries of a job's work that fail in any other way.
_MAX_FAILURES: Final = 5

#: Guests whose files are read in one go in the loop; about 5 ms.
_SLICE: Final = 50

#: Bytes of a guest's log that an error record carries.
_LOG_TAIL: Final = 16384


class JobWork:
    """One active job. :meth:`run` returns when it has ended, or when the daemon leaves it for the next one."""

    def __init__(self, claim: Claim, shop: Workshop) -> None:
        self.claim = claim
        self._shop = shop
        self._attendants: list[Attendant] = []
        self._progress = JobProgress(())
        self._validation = Validation()
        self._told: dict[Path, int] = {}
        self._cancelled = False
        self._leaving = False
        self._failures = 0
        self._waits_for = ""
        self._hurry = asyncio.Event()
        self._left = asyncio.Event()
        self._log = job_log(claim.id)
        self._logs_events = claim.guests == 0  # else a daemon before this one has logged what there is so far
        self._expected = True
        shop.slots.expect()

    # -- what others may ask ----------------------------------------------------------------------

    @property
    def claimed_at(self) -> str:
        """Since when it is being worked, RFC 3339 UTC."""
        return self.claim.claimed_at

    def summary(self) -> JobSummary:
        """The job's row now; of its guests only those that run."""
        running = self._progress.running()
        return JobSummary(
            id=self.claim.id,
            status=JobState.PROCESSING,
            stage=(running[0].stage.upper() or "STARTING") if running else "QUEUED",
            progress=self._progress.percent,
            started_at=self.claim.claimed_at,
            guests=tuple(fold.progress() for fold in running),
            guests_total=self._progress.total,
            guests_ended=self._progress.ended,
        )

    def folds(self) -> Sequence[GuestFold]:
        """How each guest fares."""
        return [attendant.fold for attendant in self._attendants]

    def trouble(self) -> str:
        """Why a worker of it is being ended, or none can be started now; empty when neither is so."""
        return next((trouble for attendant in self._attendants if (trouble := attendant.trouble)), self._waits_for)

    def reread(self) -> None:
        """Look at every journal again: events of it may have been lost."""
        for attendant in self._attendants:
            attendant.read()

    async def cancel(self) -> None:
        """End the job; its record is written once nothing of it runs."""
        self._cancelled = True
        self._hurry.set()
        await wait_all([asyncio.ensure_future(attendant.cancel()) for attendant in self._attendants])

    async def leave(self, *, kill: bool) -> None:
        """Start no further guest; with ``kill`` end those that run. The job stays in ``processing/``."""
        self._leaving = True
        self._left.set()
        self._hurry.set()
        await wait_all([asyncio.ensure_future(attendant.leave(kill=kill)) for attendant in self._attendants])

    # -- the work ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work the job. Trouble of the queue's own storage is waited out, never taken for the job's."""
        try:
            await self._run()
        finally:
            self._met()

    def _met(self) -> None:
        if self._expected:
            self._expected = False
            self._shop.slots.met()

    async def _run(self) -> None:
        while not self._leaving:
            try:
                problem = await self._prepare()
                if problem is None:
                    await self._attend_all()
                if all(attendant.ended for attendant in self._attendants):
                    await self._finish(problem)
                    return
            except Exception as error:
                if not await self._bear(error):
                    await self._give_up(error)
                    return

    async def _bear(self, error: Exception) -> bool:
        """Wait before another try; false when this kind of error has come too often to pass by itself."""
        if isinstance(error, ProblemError) and error.retry_after is not None:
            problem = error.problem  # the rules are busy, for one
            self._waits_for = problem.message
            self._log.warning("trying again", error=problem.message, remedy=problem.remedy)
        elif isinstance(error, OSError) and error.errno in _PASSING:
            self._log.error("the queue's storage or the host fails; trying again", error=str(error))
        else:
            self._failures += 1
            self._log.exception("the job's work failed", tries=self._failures)
        await _set_within(self._left, getattr(error, "retry_after", None) or _STORAGE_RETRY)
        self._waits_for = ""
        return self._failures < _MAX_FAILURES

    async def _give_up(self, error: Exception) -> None:
        """An error that does not pass: end what runs and write a record, rather than try for ever."""
        await self.cancel()
        message = f"the job's work failed {self._failures} times: {type(error).__name__}: {error}"
        await self._finish(Problem("internal", message))

    async def _prepare(self) -> Problem | None:
        """Read and plan the job, unless that was done. The problem that stops the whole job, if any.

        Once its guests are planned, they alone decide: the manifest is not read again, and whatever has
        become of it since is no matter.
        """
        self._cancelled = self._cancelled or self._shop.spool.claims.cancel_asked(self.claim.id)
        if self.claim.guests == 0:
            problem = await self._plan()
            if problem is not None:
                return problem
        attendants = []
        for number in range(1, self.claim.guests + 1):
            attendants.append(self._attendant(guest_directory(self._shop, self.claim, number)))
            if number % _SLICE == 0:
                await asyncio.sleep(0)  # a batch may have 10,000 guests, and each has its files read
        self._attendants = attendants
        self._progress = JobProgress(self.folds())
        self._logs_events = True
        return None

    async def _plan(self) -> Problem | None:
        if self._cancelled:
            return Problem("cancelled", "the job was cancelled")
        try:
            guests = await self._read()
        except ProblemError as error:
            if error.retry_after is not None:
                raise
            return error.problem
        if not self._validation.valid:
            return self._first_problem()
        if self.claim.state is ClaimState.FINISHING:  # it had a problem, which is not there any more
            return Problem("internal", "the daemon was killed while it wrote this record")
        await asyncio.to_thread(write_orders, self._shop, self.claim, guests)
        claims, claim = self._shop.spool.claims, replace(self.claim, guests=len(guests))
        self.claim = await self._shop.in_disk_thread(lambda: claims.write(claim))
        self._log.info("planned", guests=claim.guests, taken_for=claim.taken_for)
        return None

    def _first_problem(self) -> Problem:
        """The problem that stands for all; it says of which file where that is in question."""
        first, name = self._validation.problems[0], file_name_for_display(self.claim.original_name)
        if first.code.startswith("document-"):
            return replace(first, message=f"{name}: {first.message}")
        if self._shop.mode == "disk":  # which takes either
            kind = self.claim.taken_for.replace("-", " ")
            return replace(first, message=f"{name}, taken for a {kind}: {first.message}")
        return first

    async def _read(self) -> Sequence[Guest]:
        file, syntax = self._shop.spool.layout.processing / self.claim.file, suffix_of(self.claim.original_name)
        if self._shop.mode == "disk" and not syntax:
            self.claim = replace(self.claim, taken_for="disk")
            return [dropped_disk(self.claim.id, file)]
        try:
            text = await asyncio.to_thread(read_regular, file, MAX_BYTES + 1)
        except OSError as error:
            raise ProblemError(
                Problem("source-unreadable", f"the job's file cannot be read: {error.strerror}")
            ) from error
        self._validation = validation = await self._shop.validate(text, syntax)
        self.claim = replace(self.claim, taken_for=validation.taken_for)
        if validation.taken_for == JOB_CONFIG and validation.batch:
            return numbered(validation.guests, stem(self.claim.id))
        return validation.guests

    def _guest_directories(self) -> Sequence[Path]:
        return self._shop.spool.claims.guest_directories(self.claim.id)

    def _attendant(self, directory: Path) -> Attendant:
        order = WorkOrder.read(directory)
        outputs = [Path(path) for path in order.guest.outputs]
        self._shop.outputs_in_use.update(dict.fromkeys(outputs, self.claim.id))
        return Attendant(
            guest_run(directory, self.claim.id, order.guest.name),
            order.guest,
            self._shop.executor,
            self._shop.inotify,
            self._shop.max_attempts,
            partial(self._saw, directory),
        )

    def _saw(self, directory: Path, event: Event) -> None:
        """Tell of each event once, however often the journal is read from its beginning."""
        self._progress.update(int(directory.name) - 1)
        if event.seq > self._told.get(directory, 0):
            self._told[directory] = event.seq
            self._shop.on_event(self.claim.id, event)
            if self._logs_events:
                log_event(job_log(self.claim.id, event.vm), event)

    async def _attend_all(self) -> None:
        """Each guest as slots allow. One that fails does not stop the others."""
        running: list[asyncio.Task[None]] = []
        if self._leaving:
            return
        if self._cancelled:
            await self.cancel()
        for attendant in self._attendants:
            if attendant.ended and not attendant.runs_already():
                continue
            held = await self._slot(attendant)
            self._met()
            if not held and not self._cancelled:
                break
            running = [task for task in running if not task.done() or task.exception()]
            running.append(asyncio.create_task(self._attend(attendant, held)))
        await wait_all(running)

    async def _slot(self, attendant: Attendant) -> bool:
        """Wait for a slot; false when the job is cancelled or the daemon leaves first."""
        if attendant.runs_already():
            self._shop.slots.take()
            return True
        acquire = asyncio.create_task(self._shop.slots.acquire())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({acquire, hurry}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not self._hurry.is_set():
            return True
        if acquire.done():
            self._shop.slots.release()
        acquire.cancel()
        return False

    async def _attend(self, attendant: Attendant, held: bool) -> None:
        try:
            await attendant.attend()
        finally:
            if held:
                self._shop.slots.release()

    # -- the end ----------------------------------------------------------------------------------

    async def _finish(self, problem: Problem | None) -> None:
        ending = await asyncio.to_thread(self.ending, problem)
        self.claim = await self._shop.in_disk_thread(lambda: self._move_to_ended(ending))
        for path, job in list(self._shop.outputs_in_use.items()):
            if job == self.claim.id:
                del self._shop.outputs_in_use[path]
        self._log_end(ending)
        self._shop.on_ended(self.claim, ending.problem)

    def _log_end(self, ending: Ending) -> None:
        if ending.problem is None:
            self._log.info("job ended", outcome=ending.outcome.value)
            return
        tell = self._log.warning if ending.outcome is JobState.FAILED else self._log.info
        vm, stage = ending.where()
        told = {"code": ending.problem.code, "error": ending.problem.message}
        tell("job ended", vm=vm, stage=stage, outcome=ending.outcome.value, **told)

    def _move_to_ended(self, ending: Ending) -> Claim:
        """Blocks. Goes on from wherever a try before this one, or a crash, left the job."""
        spool = self._shop.spool
        claim = spool.claims.read(self.claim.id) or self.claim
        if claim.state is ClaimState.FINISHED:
            return claim
        if claim.state is ClaimState.FINISHING:
            return spool.complete_finish(claim, ending.to_json())
        return spool.finish(claim, ending.outcome, ending.to_json())

    def ending(self, problem: Problem | None) -> Ending:
        """The job's record: the worst outcome of its guests, or ``problem`` if it never came to them."""
        folds = self.folds()
        outcome, worst = outcome_of(folds, problem)
        if self.claim.state is ClaimState.FINISHING:
            outcome = JobState(self.claim.outcome)  # decided before the crash
        return Ending(
            id=self.claim.id,
            original_name=file_name_for_display(self.claim.original_name),
            mode=self._shop.mode,
            outcome=outcome,
            claimed_at=self.claim.claimed_at,
            ended_at=now(),
            runs=self.claim.runs,
            taken_for=self.claim.taken_for,
            companions=[file_name_for_display(name) for name in self.claim.companions],
            guests=[fold.report() for fold in folds],
            problem=worst,
            problems=self._validation.problems,
            warnings=self._validation.warnings,
            log_tail=self._log_tail(folds) if worst else (),
        )

    def _log_tail(self, folds: Sequence[GuestFold]) -> Sequence[str]:
        for fold, directory in zip(folds, self._guest_directories(), strict=False):
            if fold.state is not JobState.COMPLETED:
                return log_lines(directory, _LOG_TAIL)
        return ()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
