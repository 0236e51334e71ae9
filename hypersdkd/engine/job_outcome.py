"""What a job comes to: the outcome of its guests together, its progress, the end of its log."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import LOG
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem
from hypersdkd.model.report import GuestFold
from hypersdkd.model.stage import Stage

#: Where each stage begins and ends in a guest's share of the job's progress, in percent.
_SPANS: Final = {
    Stage.LOAD.value: (0, 5),
    Stage.INSPECT.value: (5, 10),
    Stage.FIX.value: (10, 20),
    Stage.CONVERT.value: (20, 90),
    Stage.VALIDATE.value: (90, 100),
}


def log_lines(guest_directory: Path, limit: int) -> Sequence[str]:
    """The last lines of a guest's log, at most ``limit`` bytes of it; control characters escaped."""
    try:
        with (guest_directory / LOG).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read(limit).decode("utf-8", "replace")
    except FileNotFoundError:
        return ()
    return [json.dumps(line)[1:-1] if not line.isprintable() else line for line in text.splitlines()]


def outcome_of(folds: Sequence[GuestFold], problem: Problem | None) -> tuple[JobState, Problem | None]:
    """How a job ended and the problem that stands for it: ``problem`` if it never came to its guests."""
    if problem is not None:
        return JobState.CANCELLED if problem.code == "cancelled" else JobState.FAILED, problem
    failed = [fold for fold in folds if fold.state is JobState.FAILED]
    cancelled = [fold for fold in folds if fold.state is JobState.CANCELLED]
    if cancelled:
        return JobState.CANCELLED, Problem("cancelled", _cancelled_message(folds, failed, cancelled))
    if not failed:
        return JobState.COMPLETED, None
    first = failed[0].problem or Problem("step-failed", "the guest failed")
    if len(folds) == 1:
        return JobState.FAILED, first
    names = ", ".join(fold.vm for fold in failed[:5])
    return JobState.FAILED, Problem(
        "batch-failed",
        f"{len(failed)} of {len(folds)} guests failed ({names}); the first: {first.message}",
        first.detail,
    )


def _cancelled_message(folds: Sequence[GuestFold], failed: Sequence[GuestFold], cancelled: Sequence[GuestFold]) -> str:
    if len(folds) == 1:
        return "the job was cancelled"
    parts = [f"{len(folds) - len(failed) - len(cancelled)} of {len(folds)} guests were completed"]
    for word, some in (("failed", failed), ("cancelled", cancelled)):
        if some:
            parts.append(f"{len(some)} {word} ({', '.join(fold.vm for fold in some[:5])})")
    return f"the job was cancelled: {', '.join(parts)}"


def share_of(fold: GuestFold) -> int:
    """How much of a guest is done, in percent of all its stages. It never gets less within an attempt."""
    if fold.state is not None:
        return 100
    low, high = _SPANS.get(fold.stage, (0, 0))
    return low + (high - low) * fold.furthest // 100


class JobProgress:
    """How far the guests of a job are together. Kept up guest by guest: a batch may have 10,000, and each event of
    each of them wants the job's row."""

    def __init__(self, folds: Sequence[GuestFold]) -> None:
        self._folds = folds
        self._shares = [0] * len(folds)
        self._sum = 0
        self._running: set[int] = set()
        self.ended = 0
        """Guests that have their outcome."""
        self._ended = [False] * len(folds)
        for number in range(len(folds)):
            self.update(number)

    def update(self, number: int) -> None:
        """Take note of what became of a guest; the first is 0. Of one that is not known yet nothing."""
        if number >= len(self._folds):
            return
        fold, share = self._folds[number], share_of(self._folds[number])
        self._sum += share - self._shares[number]
        self._shares[number] = share
        has_ended = fold.state is not None
        self.ended += has_ended - self._ended[number]
        self._ended[number] = has_ended
        if fold.attempts and not has_ended:
            self._running.add(number)
        else:
            self._running.discard(number)

    @property
    def total(self) -> int:
        """How many guests there are."""
        return len(self._folds)

    @property
    def percent(self) -> int:
        """Of all of them, whole."""
        return self._sum // len(self._folds) if self._folds else 0

    def running(self) -> Sequence[GuestFold]:
        """Those that have begun and not ended, in the order of the guests."""
        return [self._folds[number] for number in sorted(self._running)]
