"""The scheduler claims ready files while slots are idle, and keeps the jobs that are being worked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import structlog

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.grouping import alike
from hypersdkd.engine.index import Ended, Index
from hypersdkd.engine.job_log import job_log
from hypersdkd.engine.job_work import JobWork
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.readiness import Entry, Readiness, Verdict
from hypersdkd.engine.workshop import Workshop
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, ProblemError, fail

_T = TypeVar("_T")

#: How much longer than a look at all claims took the next waits, while something cannot be taken up: 100,000 claims
#: are read for seconds, in the thread that moves files, and one that waits for an operator must not slow the others.
_REST: Final = 10


class Scheduler:
    """Runs in the daemon's loop; every move of a file happens in the workshop's disk thread."""

    def __init__(self, shop: Workshop, index: Index, readiness: Readiness, *, beat_interval: float) -> None:
        self._shop = shop
        self._index = index
        self._readiness = readiness
        self._beat_interval = beat_interval
        self._wake = asyncio.Event()
        self._jobs: dict[str, JobWork] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._log = structlog.get_logger()
        self._shaken = False
        self._rested_until = 0.0
        self.draining = False
        self.last_round = time.monotonic()
        """Monotonic time of the last finished round, for the watchdog."""

    # -- life -------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take up what a former daemon left: its claims, wherever the kill found them."""
        self._shaken = False
        known, begun = frozenset(self._jobs), time.monotonic()
        for claim in await self._shop.in_disk_thread(lambda: self._recovered(known)):
            if claim.id not in self._jobs:
                job_log(claim.id).info("taking up", state=claim.state.value)
                self._start(claim)
        self._rested_until = time.monotonic() + _REST * (time.monotonic() - begun)

    def _recovered(self, known: frozenset[str]) -> list[Claim]:
        """Claims that nobody works and that have no end; each is brought to rest first, where the disk lets it."""
        spool, found = self._shop.spool, []
        for claim in spool.claims.all():
            if claim.id in known or claim.state in {ClaimState.FINISHED, ClaimState.PENDING}:
                continue
            try:
                rested = spool.recover(claim)
            except OSError as error:
                job_log(claim.id).error("cannot be taken up yet", error=str(error))
                self._shaken = True
                continue
            if rested and rested.state in {ClaimState.ACTIVE, ClaimState.FINISHING}:
                found.append(rested)
        return found

    async def run(self) -> None:
        """Claim whenever something is ready and a slot is idle; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat_interval):
                    await self._wake.wait()
            self._wake.clear()
            if self._shaken and not self.draining and time.monotonic() >= self._rested_until:
                await self.recover()
            while not self.draining and self._shop.slots.idle > 0 and (name := self._index.next_ready()) is not None:
                await self._claim(name)
                self.last_round = time.monotonic()
            self.last_round = time.monotonic()

    def pace(self, beat_interval: float) -> None:
        """Make a round so often from now on."""
        self._beat_interval = beat_interval
        self.wake()

    def wake(self) -> None:
        """Something became ready, or a slot idle."""
        self._wake.set()

    async def drain(self, seconds: float) -> None:
        """Stop: claim and start nothing more, give running guests ``seconds`` to end, then end them."""
        self.draining = True
        self._shop.slots.shut()
        await self._leave_all(kill=False)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        await self._leave_all(kill=True)
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _leave_all(self, *, kill: bool) -> None:
        for job in list(self._jobs.values()):
            await job.leave(kill=kill)

    # -- jobs -------------------------------------------------------------------------------------

    def job(self, job_id: str) -> JobWork | None:
        """A job that is being worked."""
        return self._jobs.get(job_id)

    def jobs(self) -> Iterable[JobWork]:
        """All jobs that are being worked."""
        return self._jobs.values()

    def trouble(self) -> str:
        """A job that cannot go on now, or whose worker is being ended for what it does, and why; empty without one."""
        return next((f"{job.claim.id}: {trouble}" for job in self._jobs.values() if (trouble := job.trouble())), "")

    def reread(self) -> None:
        """Look at every running guest's journal again: events of them may have been lost."""
        for job in self._jobs.values():
            job.reread()

    async def cancel_pending(self, name: str) -> None:
        """Claim a waiting or ready file only to record it as cancelled, with what belongs to it and to no other.

        Raises ``job-unknown``, and ``job-state`` while another job has a companion of the same name.
        """
        companions = self._index.companions(name, shared=False)
        busy = next((each for each in companions if self._index.in_processing(each)), None)
        if busy is not None:
            shown, other = file_name_for_display(name), file_name_for_display(busy)
            raise fail("job-state", f"{shown} cannot be cancelled yet: one of the name {other} is still in processing/")
        expected = self._expect(companions)
        try:
            claim = await self.move(lambda: self._shop.spool.claim(name, companions, cancelled=True))
        except (OSError, ProblemError):
            self._index.active_companions -= expected
            raise
        self._index.set_drops([(gone, None) for gone in (name, *(companions if claim else ()))])
        if claim is None:
            self._index.active_companions -= expected
            raise fail("job-unknown", f"{name} is not in the queue any more")
        self._start(claim)

    def _expect(self, companions: Sequence[str]) -> set[str]:
        """Nobody shall take them for foreign files when they come. Those that were not expected before."""
        new = set(companions) - self._index.active_companions
        self._index.active_companions |= new
        return new

    async def move(self, call: Callable[[], _T]) -> _T:
        """Move a file of the queue, in the disk thread. One that fails half-way is looked for at the next round."""
        try:
            return await self._shop.in_disk_thread(call)
        except OSError:
            self._shaken = True
            raise

    async def _claim(self, name: str) -> None:
        known, companions = self._index.drop_entry(name), self._index.companions(name)
        group = self._index.own_judgements([name, *companions])
        expected = self._expect(companions)
        try:
            claim, judged = await self.move(lambda: self._claim_if_ready(group))
        except (OSError, ProblemError) as error:
            self._index.active_companions -= expected
            self._log.error("cannot be claimed", name=name, error=str(error))
            before = self._index.drop_entry(name)
            if before is not None:
                reason = f"cannot be claimed: {error}"
                self._index.set_drop(name, replace(before, verdict=Verdict.WAITING, reason=reason))
            return
        self._index.set_drops(judged)
        if claim is None:
            self._index.active_companions -= expected
        else:
            job_log(claim.id).info("claimed")
            if known is not None:  # the file system's clock may be another host's, and ahead of ours
                self._shop.on_claimed(claim.id, max(0.0, time.time() - known.arrived / 1e9))
            self._start(claim)

    def _claim_if_ready(
        self, group: Sequence[tuple[str, Entry]]
    ) -> tuple[Claim | None, Sequence[tuple[str, Entry | None]]]:
        """Claim the first of a group with the others. They may have waited long since they were judged: look again."""
        drop, clock = self._shop.spool.layout.drop, time.monotonic()
        judged = [(name, self._readiness.judge(drop, name, before, clock, False)) for name, before in group]
        (name, lead), *companions = judged
        ready = lead is not None and lead.verdict is Verdict.READY and lead.needs == group[0][1].needs
        pairs = zip(group[1:], companions, strict=True)
        if not ready or not all(alike(before, now) for (_, before), (_, now) in pairs):
            return None, judged
        claim = self._shop.spool.claim(name, [companion for companion, _ in companions])
        return claim, [(gone, None) for gone, _ in (judged if claim else judged[:1])]

    def _start(self, claim: Claim) -> None:
        job = JobWork(claim, self._shop)
        self._jobs[claim.id] = job
        self._index.active[claim.id] = job
        self._index.active_files.add(claim.file)
        self._index.active_companions.update(claim.companions)
        self._shop.on_started(job)
        task = asyncio.create_task(job.run(), name=f"job {claim.id}")
        self._tasks[claim.id] = task
        task.add_done_callback(lambda done: self._ended(job, done))

    def _ended(self, job: JobWork, task: asyncio.Task[None]) -> None:
        self._jobs.pop(job.claim.id, None)
        self._tasks.pop(job.claim.id, None)
        self._index.active.pop(job.claim.id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            job_log(job.claim.id).error("a job's work ended in an error of hypersdkd itself", exc_info=error)
            self._shaken = True  # its file lies in processing/: the next round takes it up anew
        self.wake()


def record_end(
    index: Index, layout_of_day: Callable[[str, str], Path], tell: Callable[[Claim, Problem | None], None]
) -> Callable[[Claim, Problem | None], None]:
    """What the index learns when a job has ended, before inotify tells; and then ``tell``."""

    def ended(claim: Claim, problem: Problem | None) -> None:
        if problem is not None and claim.outcome == JobState.FAILED.value:
            index.last_error = f"{claim.id}: {problem.message}"
        outcome = JobState(claim.outcome)
        if outcome is not JobState.CANCELLED:
            index.last_failed = index.last_error if outcome is JobState.FAILED else ""
        day = ("processed" if outcome is JobState.COMPLETED else "failed", claim.date)
        index.active.pop(claim.id, None)
        index.active_files.discard(claim.file)
        index.set_processing(claim.file, None)
        for name in claim.companions:
            index.set_processing(name, None)
        index.active_companions.difference_update(claim.companions)
        with contextlib.suppress(FileNotFoundError):  # its owner took the file out of processing/
            mtime = layout_of_day(*day).joinpath(claim.target).lstat().st_mtime_ns
            index.set_ended(day, claim.target, Ended(mtime, outcome is JobState.CANCELLED))
        tell(claim, problem)

    return ended
