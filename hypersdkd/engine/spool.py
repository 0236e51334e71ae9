"""Moves of a job's file through the queue. Each survives a kill between any two of its system calls.

What a claim's state says of the file:

==========  =====================================================================================
claiming    in the drop directory, or (if the rename happened) in the job's own directory
claimed     in the job's own directory, or (if the rename happened) in ``processing/``
active      in ``processing/``
finishing   in ``processing/``, or (if the rename happened) in ``processed|failed/DATE/``
finished    in ``processed|failed/DATE/``
retrying    in ``failed/DATE/``, or (if the rename happened) in the drop directory
pending     in the drop directory, waiting to be claimed again under the same ID
==========  =====================================================================================

and of each of its companions (:mod:`hypersdkd.engine.group_moves`):

==========  =====================================================================================
claiming    where the file is: they follow it into the job's own directory
claimed     in the job's own directory or in ``processing/``; all there before the file is
active      in ``processing/``
finishing   in ``processing/`` or ``processed|failed/DATE/TARGET.companions/``, before the file is
finished    in that directory
retrying    there or, once the file is in the drop directory, there too: it waits for them
pending     in the drop directory
==========  =====================================================================================

A claim goes by way of the job's own directory, so that a file in ``processing/`` that another daemon
claimed in the same moment is never taken for ours. Every call here blocks: run it off the loop.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hypersdkd.engine.claims import Claim, ClaimState, ClaimStore
from hypersdkd.engine.group_moves import COMPANIONS, GroupMoves
from hypersdkd.engine.guest_files import LOCK, ORDER
from hypersdkd.engine.journal import read_journal
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.names import job_id
from hypersdkd.engine.publication import published
from hypersdkd.host.files import is_locked, remove_tree, rename_into, rename_new, sync_directory, write_new
from hypersdkd.model.job import SIDECAR_SUFFIXES, JobState
from hypersdkd.model.moment import now, today
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.report import fold

#: The sidecar that records each outcome, by the queue's mode.
SIDECARS: Final = {
    "manifest": {JobState.COMPLETED: ".report.json", JobState.FAILED: ".error.json", JobState.CANCELLED: ".error.json"},
    "disk": {JobState.COMPLETED: ".meta.json", JobState.FAILED: ".error.json", JobState.CANCELLED: ".error.json"},
}


class Spool:
    """The only code that renames files of the queue."""

    def __init__(self, layout: QueueLayout, mode: str, taken: Callable[[str], bool]) -> None:
        """``taken`` tells whether an ID names a record that has no claim any more (an old or foreign one)."""
        self.layout = layout
        self.claims = ClaimStore(layout.jobs)
        self._companions = GroupMoves(layout, self.claims)
        self._mode = mode
        self._taken_elsewhere = taken

    # -- claim ------------------------------------------------------------------------------------

    def claim(self, name: str, companions: Sequence[str] = (), *, cancelled: bool = False) -> Claim | None:
        """Take ``name`` out of the drop directory, and ``companions`` with it. ``None`` when it is gone: another took
        it, or its owner. ``FileExistsError`` while ``processing/`` has a companion's name: the claim then waits.

        ``cancelled``: only to be recorded so, which is sure before the file is moved.
        """
        claim = self._open_claim(name, tuple(companions))
        if cancelled:
            self.claims.ask_cancel(claim.id)
        try:
            rename_into(self.layout.drop / name, self.claims.file(claim.id))
        except OSError as error:
            if not self.claims.file(claim.id).exists():
                with contextlib.suppress(OSError):  # the claim is then found and used again by the next try
                    self._withdraw(claim)
            if isinstance(error, FileNotFoundError):
                return None
            raise
        self._companions.take(claim)
        return self._enter_processing(self.claims.advance(claim, ClaimState.CLAIMED))

    def _open_claim(self, name: str, companions: tuple[str, ...]) -> Claim:
        again = self.claims.read(name)
        if again is not None and self._never_happened(again, name):
            self.claims.forget_cancel(again.id)
            return self.claims.write(replace(again, companions=companions))
        if again is not None and again.state is ClaimState.RETRYING:
            again = self._complete_retry(again)  # its last write failed; the file is here, and keeps its ID
        if again is not None and again.state is ClaimState.PENDING and again.file == name:
            self.claims.forget_cancel(again.id)
            self.forget_guests(again.id)
            return self.claims.write(
                replace(
                    again,
                    state=ClaimState.CLAIMING,
                    runs=again.runs + 1,
                    claimed_at=now(),
                    outcome="",
                    date="",
                    guests=0,
                    taken_for="",
                    companions=companions,
                )
            )
        new = job_id(name, self.taken)
        claim = Claim(new, ClaimState.CLAIMING, new, name, now(), companions=companions)
        self.claims.create(claim)
        return claim

    def _never_happened(self, claim: Claim, name: str) -> bool:
        """Whether a claim of this very name was begun and could neither be completed nor withdrawn."""
        begun = claim.state is ClaimState.CLAIMING and claim.original_name == name
        return begun and not self.claims.file(claim.id).exists()

    def taken(self, candidate: str) -> bool:
        """Whether an ID is in use by any job of any state, ours or not."""
        return (
            self.claims.exists(candidate)
            or self._taken_elsewhere(candidate)
            or os.path.lexists(self.layout.processing / candidate)
        )

    def _withdraw(self, claim: Claim) -> None:
        if claim.runs == 1:
            self.claims.remove(claim.id)
        else:
            self.claims.advance(claim, ClaimState.FINISHED)

    def _enter_processing(self, claim: Claim) -> Claim:
        self._companions.enter(claim)  # first: so what lies in processing/ is whole from the first moment on
        stem, number = claim.file, 1
        while True:
            try:
                rename_new(self.claims.file(claim.id), self.layout.processing / claim.file)
            except FileExistsError:  # another daemon put that name there a moment ago
                number += 1
                claim = self.claims.advance(claim, ClaimState.CLAIMED, file=f"{number}-{stem}")
            else:
                return self.claims.advance(claim, ClaimState.ACTIVE)

    # -- finish -----------------------------------------------------------------------------------

    def finish(self, claim: Claim, outcome: JobState, sidecar: bytes) -> Claim:
        """Write the outcome's sidecar and move the file beside it. The sidecar is there first."""
        date = today()
        directory = self._ended_directory(outcome, date)
        directory.mkdir(mode=0o775, exist_ok=True)
        sync_directory(directory.parent)
        target = self._free_name(directory, claim.file)
        claim = self.claims.advance(claim, ClaimState.FINISHING, outcome=outcome.value, date=date, target=target)
        return self.complete_finish(claim, sidecar)

    def complete_finish(self, claim: Claim, sidecar: bytes) -> Claim:
        """The second half of :meth:`finish`; also for a claim found in state FINISHING at start."""
        outcome = JobState(claim.outcome)
        directory = self._ended_directory(outcome, claim.date)
        directory.mkdir(mode=0o775, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # only we wrote under that name: it was free
            write_new(self.layout.scratch, directory / (claim.target + SIDECARS[self._mode][outcome]), sidecar)
        self._companions.lay_by(claim, directory / claim.target)  # first: an ended job's file has them beside it
        try:
            rename_new(self.layout.processing / claim.file, directory / claim.target)
        except FileNotFoundError:  # moved before the crash, or taken away by its owner
            pass
        except FileExistsError:  # another daemon put that name there a moment ago
            self._companions.take_back(claim, directory / claim.target)
            target = self._free_name(directory, claim.target)
            return self.complete_finish(self.claims.advance(claim, ClaimState.FINISHING, target=target), sidecar)
        return self.claims.advance(claim, ClaimState.FINISHED, file=claim.target)

    def _ended_directory(self, outcome: JobState, date: str) -> Path:
        return (self.layout.processed if outcome is JobState.COMPLETED else self.layout.failed) / date

    @staticmethod
    def _free_name(directory: Path, file: str) -> str:
        name, number = file, 1
        while any(os.path.lexists(directory / (name + suffix)) for suffix in ("", COMPANIONS, *SIDECAR_SUFFIXES)):
            number += 1
            name = f"{number}-{file}"
        return name

    # -- retry ------------------------------------------------------------------------------------

    def retry(self, job: str, date: str, file: str) -> Claim:
        """Put an ended job's file back into the drop directory, and then its companions. The old sidecar goes to the
        job's directory."""
        claim = self.claims.read(job) or self._adopt_record(job)
        if claim.state is not ClaimState.FINISHED:  # the record is another daemon's, the ID is in use
            raise fail("job-state", f"{job} is not an ended job")
        if not (self.layout.failed / date / file).exists():
            raise fail("job-state", f"the file of {job} is not in failed/{date} any more")
        return self._complete_retry(self.claims.advance(claim, ClaimState.RETRYING, date=date, file=file))

    def _adopt_record(self, job: str) -> Claim:
        """A record without a claim: of another daemon, or older than what is kept. From now on it is ours."""
        claim = Claim(job, ClaimState.FINISHED, job, job, now(), outcome=JobState.FAILED.value)
        self.claims.create(claim)
        return claim

    def _complete_retry(self, claim: Claim) -> Claim:
        directory = self.layout.failed / claim.date
        try:
            rename_new(directory / claim.file, self.layout.drop / claim.id)
        except FileNotFoundError:  # moved before the crash
            pass
        except FileExistsError as error:
            self.claims.advance(claim, ClaimState.FINISHED)
            raise fail("job-state", f"a new file {claim.id} waits in the drop directory") from error
        self._companions.bring_back(directory / claim.file)
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            sidecar = directory / (claim.file + ".error.json")
            rename_new(sidecar, self.claims.directory(claim.id) / f"error-{claim.runs}.json")
        return self.claims.advance(claim, ClaimState.PENDING, file=claim.id)

    # -- recovery ---------------------------------------------------------------------------------

    def recover(self, claim: Claim) -> Claim | None:
        """Bring a claim found at start to a resting state: active, finishing, finished or pending.

        FINISHING is left to the caller, who has the sidecar. ``None``: the claim never happened.
        """
        held = self.claims.file(claim.id).exists()
        if claim.state is ClaimState.CLAIMING and not held:
            self._settle_unclaimed(claim)
            return None
        if claim.state in {ClaimState.CLAIMING, ClaimState.CLAIMED}:
            if held:
                self._unlink_claimed(claim)
                if claim.state is ClaimState.CLAIMING:
                    self._companions.take(claim)
                return self._enter_processing(self.claims.advance(claim, ClaimState.CLAIMED))
            return self.claims.advance(claim, ClaimState.ACTIVE)
        if claim.state is ClaimState.RETRYING:
            with contextlib.suppress(ProblemError):
                return self._complete_retry(claim)
            return self.claims.read(claim.id)
        return claim

    def _unlink_claimed(self, claim: Claim) -> None:
        """Where a rename is a link and an unlink, a kill in between left the claimed file in the drop directory too."""
        dropped = self.layout.drop / (claim.original_name if claim.runs == 1 else claim.file)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(dropped.lstat(), self.claims.file(claim.id).lstat()):
                dropped.unlink()

    def _settle_unclaimed(self, claim: Claim) -> None:
        if claim.runs > 1 and (self.layout.drop / claim.file).exists():
            self.claims.write(replace(claim, state=ClaimState.PENDING, runs=claim.runs - 1))
        else:
            self._withdraw(claim)

    def forget_guests(self, job: str) -> None:
        """Remove the guests of a former run: a retry begins them anew. Those that are completed, and whose outputs
        are still there, are kept: they need not be made again, and could not be, beside their outputs."""
        for directory in self.claims.guest_directories(job):
            if is_locked(directory / LOCK):
                raise fail("job-state", f"a worker of {job} still runs")
            if not _is_kept(directory):
                remove_tree(directory)


def _is_kept(guest: Path) -> bool:
    found = fold(read_journal(guest))
    if found.state is not JobState.COMPLETED or not (guest / ORDER).exists():
        return False
    outputs = published(found.publishing)
    return bool(outputs) and all(output.exists() for output in outputs)
