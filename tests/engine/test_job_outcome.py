"""What a job comes to, from how its guests fared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.job_outcome import JobProgress, outcome_of, share_of
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem
from hypersdkd.model.report import GuestFold, fold

ENDS = {"c": EventType.FINISHED, "f": EventType.FAILED, "x": EventType.CANCELLED}
T = "2026-01-01T00:00:00.000Z"


def guests(ends: str) -> list[GuestFold]:
    """One guest a letter: completed, failed or cancelled (x)."""
    problem = {"problem": {"code": "no-space", "message": "full", "detail": "trace"}}
    return [fold([Event(1, ENDS[end], T, f"vm{number}", "convert", problem)]) for number, end in enumerate(ends)]


@pytest.mark.parametrize(
    ("ends", "outcome", "code", "words"),
    [
        ("", JobState.COMPLETED, "", ""),
        ("c", JobState.COMPLETED, "", ""),
        ("ccc", JobState.COMPLETED, "", ""),
        ("f", JobState.FAILED, "no-space", "full"),
        ("cfcf", JobState.FAILED, "batch-failed", "2 of 4 guests failed (vm1, vm3); the first: full"),
        ("f" * 7, JobState.FAILED, "batch-failed", "(vm0, vm1, vm2, vm3, vm4)"),
        ("x", JobState.CANCELLED, "cancelled", "the job was cancelled"),
        (
            "cfxx",
            JobState.CANCELLED,
            "cancelled",
            "1 of 4 guests were completed, 1 failed (vm1), 2 cancelled (vm2, vm3)",
        ),
    ],
)
def test_the_outcome_of_all_guests(ends: str, outcome: JobState, code: str, words: str) -> None:
    found, problem = outcome_of(guests(ends), None)
    assert found is outcome
    assert (problem.code if problem else "") == code
    assert words in (problem.message if problem else "")


def test_a_problem_of_the_whole_job_stands_for_it() -> None:
    problem = Problem("document-syntax", "broken")
    assert outcome_of([], problem) == (JobState.FAILED, problem)
    cancelled = Problem("cancelled", "the job was cancelled")
    assert outcome_of([], cancelled) == (JobState.CANCELLED, cancelled)


@pytest.mark.parametrize(
    ("stage", "percent", "share"),
    [("load", 0, 0), ("load", 100, 5), ("convert", 50, 55), ("validate", 99, 99), ("x", 9, 0)],
)
def test_a_guests_share_grows_through_its_stages(stage: str, percent: int, share: int) -> None:
    events = [
        Event(1, EventType.STARTED, T),
        Event(2, EventType.STAGE_STARTED, T, "", stage),
        Event(3, EventType.PROGRESS, T, "", stage, {"percent": percent}),
    ]
    assert share_of(fold(events)) == share
    assert share_of(fold([])) == 0
    assert share_of(guests("f")[0]) == 100


def test_it_does_not_get_less_when_a_stages_next_step_counts_anew() -> None:
    steps = [
        (EventType.STARTED, "", {}),
        (EventType.STAGE_STARTED, "validate", {}),
        *((EventType.PROGRESS, "validate", {"percent": percent}) for percent in (50, 100, 3, 40)),
    ]
    events = [Event(number, type_, T, "a", stage, data) for number, (type_, stage, data) in enumerate(steps, 1)]
    shares = [share_of(fold(events[:count])) for count in range(1, len(events) + 1)]
    assert shares == [0, 90, 95, 100, 100, 100]
    assert fold(events).progress().percent == 40, "of the step"
    again = [Event(9, EventType.STARTED, T, "a", "", {}), Event(10, EventType.STAGE_STARTED, T, "a", "validate", {})]
    assert share_of(fold([*events, *again])) == 90, "another attempt"


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(EventType), st.integers(0, 100)), max_size=30))
def test_the_progress_of_a_job_is_kept_up_guest_by_guest(told: list[tuple[int, EventType, int]]) -> None:
    folds = [*guests("cf"), GuestFold("a"), GuestFold("b")]
    progress = JobProgress(folds)
    for number, (guest, kind, percent) in enumerate(told, start=2):
        if guest < len(folds):
            folds[guest].add(Event(number, kind, T, "", "convert", {"percent": percent}))
        progress.update(guest)  # also of one that is not known yet
        assert progress.percent == sum(map(share_of, folds)) // len(folds)
        assert (progress.ended, progress.total) == (sum(fold.state is not None for fold in folds), 4)
        assert progress.running() == [fold for fold in folds if fold.state is None and fold.attempts]
    assert (JobProgress([]).percent, JobProgress([]).running()) == (0, [])
