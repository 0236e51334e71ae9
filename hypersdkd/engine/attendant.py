"""An attendant sees one guest through: adopts or starts its worker, follows its journal, counts crashes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import remove_temporaries, remove_work
from hypersdkd.engine.job_log import job_log
from hypersdkd.engine.journal import FLOOD, JOURNAL, JournalReader, JournalWriter
from hypersdkd.engine.publication import recorded, withdraw
from hypersdkd.host.files import is_locked
from hypersdkd.host.inotify import FILE_GROWTH, Inotify
from hypersdkd.host.sessions import boot_id, read_stamp
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.guest import Guest
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.report import GuestFold
from hypersdkd.spec.ports import WorkerEnd, WorkerHandle
from hypersdkd.spec.types import Executor, GuestRun

#: A worker's exit status when another one holds the guest (``worker.BUSY``).
_BUSY: Final = 75

#: Seconds between two looks at a guest's lock that is held by what is no worker of ours (yet).
_LOCK_PAUSE: Final = 0.5

#: Interruptions (the daemon died while the guest ran) allowed for each allowed crash.
INTERRUPTIONS_PER_CRASH: Final = 5


class Attendant:
    """One guest of an active job. ``on_event`` is called in the loop for every new event of its journal."""

    def __init__(
        self,
        run: GuestRun,
        guest: Guest,
        executor: Executor,
        inotify: Inotify,
        max_attempts: int,
        on_event: Callable[[Event], None],
    ) -> None:
        self._run = run
        self._guest = guest
        self._executor = executor
        self._inotify = inotify
        self._max_attempts = max_attempts
        self._on_event = on_event
        self._reader = JournalReader(run.directory)
        self._worker: WorkerHandle | None = None
        self._cancelled = False
        self._leaving = False
        self._left = asyncio.Event()
        self._doomed = False
        self._flooding: asyncio.Task[None] | None = None
        self._last_status: int | None = None
        self._log = job_log(run.job_id, run.vm)
        self.fold = GuestFold(run.vm)
        self.read()

    def read(self) -> None:
        """Take what is new in the journal. A worker that writes more than any guest needs has been taken over: it is
        ended before it costs the daemon its memory or its time."""
        while self._flooding is None:
            for event in self._reader.read():
                self.fold.add(event)
                self._on_event(event)
            if self._worker is not None and max(self._reader.kept, self._reader.unread) > FLOOD:
                self._log.error("the worker floods its journal and is ended", stage=self.fold.stage)
                self._flooding = asyncio.create_task(self._kill())
            if not self._reader.behind:
                return

    @property
    def ended(self) -> bool:
        """Whether the guest has its outcome."""
        return self.fold.state is not None

    @property
    def trouble(self) -> str:
        """Why the executor is ending the guest's worker, with the guest's name; empty when it is not."""
        trouble = self._worker.trouble if self._worker is not None else ""
        return f"{self._run.vm}: {trouble}" if trouble else ""

    def runs_already(self) -> bool:
        """Whether a worker of a former daemon holds the guest, be it only to end."""
        return is_locked(self._run.lock)

    async def attend(self) -> None:
        """Until the guest has an outcome, or (when leaving) until its worker is gone."""
        watch = self._follow()
        try:
            self._worker = await self._executor.adopt(self._run)
            if self._worker is not None:
                self._log.info("adopted a running worker", stage=self.fold.stage)
            elif not self.ended and self.fold.attempts > self.fold.crashes + self.fold.interruptions:
                self._record_loss(self._lost_to())  # once for each attempt, however often it is taken up
            while self._worker is not None or (not self.ended and not self._leaving):
                await self._one_worker()
            if self.ended:  # be it by us: a worker that was killed could not clear up
                await asyncio.to_thread(remove_work, self._run.directory)
        finally:
            if watch is not None:
                self._inotify.unwatch(watch)

    def _follow(self) -> int | None:
        try:
            return self._inotify.watch(self._run.directory / JOURNAL, FILE_GROWTH, lambda _name, _moved: self.read())
        except OSError as error:  # no watches left: the outcome is still read when the worker ends
            self._log.warning("its progress cannot be watched", stage=self.fold.stage, error=error.strerror)
            return None

    async def _one_worker(self) -> None:
        if self._worker is None and is_locked(self._run.lock):
            await self._meet_stranger()
            return
        if self._worker is None:
            if self._cancelled:
                self._settle_cancelled()
                return
            if self._poisoned():
                return
            try:
                self._worker = await self._executor.start(self._run)
            except ProblemError as error:
                if error.retry_after is not None:
                    raise
                # the executor's answer: this guest cannot be run there
                self._append(EventType.FAILED, {"problem": error.problem.as_dict()})
                return
        if self._doomed:  # since before there was a worker to kill
            await self._worker.kill()
        end = await self._its_end(self._worker)
        self.read()
        if self._flooding is not None:
            await self._flooding
        self._worker = None
        if self._flooding is not None and end is not None:
            await asyncio.to_thread(self._reader.cut)
            self._flooding = None
            self._settle_flooded()
        elif end is not None and not self.ended:
            self._judge(end)

    async def _its_end(self, worker: WorkerHandle) -> WorkerEnd | None:
        """How the worker ended; ``None`` when it is left to the next daemon."""
        waiting, leaving = asyncio.create_task(worker.wait()), asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            leaving.cancel()
            await asyncio.gather(waiting, leaving, return_exceptions=True)

    def _judge(self, end: WorkerEnd) -> None:
        if end.status == _BUSY or is_locked(self._run.lock):
            return  # another worker holds the guest: the next round meets it
        if self._leaving or end.interrupted:
            self._record_loss("interruption", end.status)
        elif self._cancelled:
            self._settle_cancelled()
        elif end.problem is not None:
            self._clean()
            self._append(EventType.FAILED, {"problem": end.problem.as_dict()})
        else:
            self._log.warning("worker died", stage=self.fold.stage, status=end.status)
            self._record_loss("crash", end.status)

    async def _meet_stranger(self) -> None:
        """The guest's lock is held: by a worker that can be adopted, or by something that must let go first."""
        self._worker = await self._executor.adopt(self._run)
        if self._worker is None:
            await asyncio.sleep(_LOCK_PAUSE)

    async def cancel(self) -> None:
        """End the guest; :meth:`attend` returns once nothing of it runs."""
        self._cancelled = True
        await self._kill()

    async def _kill(self) -> None:
        self._doomed = True
        if self._worker is not None:
            await self._worker.kill()

    async def leave(self, *, kill: bool) -> None:
        """The daemon stops: start nothing more; with ``kill`` end the worker, to be run again next time.

        One that outlives the daemon is never ended: the next daemon adopts it.
        """
        self._leaving = True
        if self._executor.outlives:
            self._left.set()
        elif kill:
            await self._kill()

    # -- outcomes that the daemon decides -----------------------------------------------------------

    def _append(self, type_: EventType, data: dict[str, object]) -> None:
        with JournalWriter(self._run.directory, self._run.vm) as journal:
            journal.append(type_, self.fold.stage if type_ is not EventType.RECOVERED else "", data)
        self.read()

    def _lost_to(self) -> str:
        stamp = read_stamp(self._run.stamp)
        return "crash" if stamp is not None and stamp.boot != boot_id() else "interruption"

    def _record_loss(self, reason: str, status: int | None = None) -> None:
        self._last_status = status
        self._append(EventType.RECOVERED, {"reason": reason, "exit_status": status})

    def _poisoned(self) -> bool:
        if self.fold.crashes >= self._max_attempts:
            last = f", the last time {_how(self._last_status)}" if self._last_status is not None else ""
            code, message = "worker-crashed", f"the worker died {self.fold.crashes} times{last}"
        elif self.fold.interruptions >= self._max_attempts * INTERRUPTIONS_PER_CRASH:
            code, message = "worker-interrupted", f"the daemon died {self.fold.interruptions} times while it ran"
        else:
            return False
        self._clean()
        self._append(EventType.FAILED, {"problem": Problem(code, message).as_dict()})
        return True

    def _settle_flooded(self) -> None:
        if not self.ended:
            self._clean()
            message = f"the worker wrote more than {FLOOD >> 20} MiB into its journal"
            self._append(EventType.FAILED, {"problem": Problem("worker-flooded", message).as_dict()})

    def _settle_cancelled(self) -> None:
        placements = recorded(self.fold.publishing, self._guest)
        if placements and all(place.is_at(place.final) for place in placements):
            self._append(EventType.FINISHED, {})  # it was faster than the cancel
            return
        self._clean()
        self._append(EventType.CANCELLED, {"problem": Problem("cancelled", "the job was cancelled").as_dict()})

    def _clean(self) -> None:
        withdraw(recorded(self.fold.publishing, self._guest))
        for left in remove_temporaries(self._run.directory, [Path(output) for output in self._guest.outputs]):
            self._log.warning(left.message, code=left.code)


def _how(status: int) -> str:
    """An exit status in words; negative ones are signals."""
    if status >= 0:
        return f"with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"by {name}" + (" (as the kernel does when memory runs out)" if status == -signal.SIGKILL else "")


async def wait_all(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks; an error of one is raised when all are done."""
    if tasks:
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
