"""What listeners hear of the queue: enough to know the state of every job without asking again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.index import Ended, Index
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.problem import Problem


class Heard:
    """A queue's index and all that was published of it."""

    def __init__(self) -> None:
        self.index = Index()
        self.announcer = Announcer(self.index)
        self.index.listener = self.announcer

    def take(self) -> list[tuple[object, ...]]:
        """Kind, ID and status of each change since the last look."""
        changes = [(each.kind, each.data.get("id", each.data.get("job")), each.data.get("status")) for each in self]
        self.announcer.broadcast._memory.clear()
        return changes

    def __iter__(self) -> Iterator[object]:
        return iter(self.announcer.broadcast._memory)


class Job:
    """A job that is being worked."""

    def summary(self) -> JobSummary:
        return JobSummary("a.json", JobState.PROCESSING, "CONVERT", 40)


@pytest.fixture
def heard() -> Heard:
    return Heard()


_REASONS = ("", "settling", "hidden")
READY, WAITING, IGNORED = (Entry(verdict, reason) for verdict, reason in zip(Verdict, _REASONS, strict=True))


def test_a_job_from_its_arrival_to_its_end(heard: Heard) -> None:
    heard.index.set_drop("a.json", WAITING)
    heard.index.set_drop("a.json", WAITING)
    heard.index.set_drop("a.json", READY)
    heard.index.set_drop("a.json", None)
    heard.index.active["a.json"] = Job()
    heard.announcer.started(Job())
    heard.index.set_ended(("processed", "2026-01-02"), "a.json", Ended(1))
    heard.index.set_ended(("processed", "2026-01-02"), "a.json", Ended(1))
    heard.index.set_ended(("processed", "2026-01-02"), "a.json", None)
    heard.index.set_ended(("processed", "2026-01-02"), "a.json", None)
    assert heard.take() == [
        ("job", "a.json", "pending"),
        ("job", "a.json", "pending"),
        ("job", "a.json", "gone"),
        ("job", "a.json", "processing"),
        ("job", "a.json", "completed"),
        ("job", "a.json", "gone"),
    ]


def test_what_is_ignored_is_not_told(heard: Heard) -> None:
    heard.index.set_drop(".x", IGNORED)
    heard.index.set_drop(".x", None)
    assert heard.take() == []


def test_a_waiting_file_says_why(heard: Heard) -> None:
    heard.index.set_drop("a.json", WAITING)
    assert [change.data["error"] for change in heard] == ["settling"]


def test_another_daemons_file(heard: Heard) -> None:
    heard.index.set_processing("theirs.json", 5)
    heard.index.set_processing("theirs.json", 5)
    heard.index.set_processing("theirs.json", None)
    heard.index.active_files.add("ours.json")
    heard.index.set_processing("ours.json", 5)
    assert heard.take() == [("job", "theirs.json", "processing"), ("job", "theirs.json", "gone")]


def test_events_are_told_and_progress_moves_the_row_a_few_times_a_second(heard: Heard) -> None:
    heard.index.active["a.json"] = Job()
    for number in range(1, 40):
        heard.announcer.event("a.json", Event(number, EventType.PROGRESS, "2026-01-02T03:04:05Z", "a"))
    heard.announcer.event("a.json", Event(40, EventType.STAGE_FINISHED, "2026-01-02T03:04:05Z", "a"))
    changes = heard.take()
    assert changes.count(("guest", "a.json", None)) == 40
    assert 2 <= changes.count(("job", "a.json", "processing")) <= 4
    assert changes[-1] == ("job", "a.json", "processing"), "a change of state is told at once"


def test_switches(heard: Heard, tmp_path: Path) -> None:
    heard.announcer.switched(paused=True)
    assert [(change.kind, dict(change.data)) for change in heard] == [("daemon", {"paused": True})]


def test_a_file_that_is_missed_where_it_was_has_gone_on(heard: Heard) -> None:
    """Directories are looked at in any order: who keeps the last thing heard of a job keeps the truth."""
    heard.index.set_drop("a.json", READY)
    heard.index.set_processing("a.json", 1)
    heard.index.set_drop("a.json", None)
    heard.index.set_ended(("failed", "2026-01-02"), "a.json", Ended(1))
    heard.index.set_processing("a.json", None)
    assert heard.take() == [
        ("job", "a.json", "pending"),
        ("job", "a.json", "processing"),
        ("job", "a.json", "failed"),
        ("job", "a.json", "failed"),
    ]


def test_a_claim_and_an_end_are_told_as_such(heard: Heard) -> None:
    heard.announcer.claimed("a.json", 1.23456)
    claim = Claim("a.json", ClaimState.FINISHED, "a.json", "a.json", "", outcome="failed")
    heard.announcer.finished(claim, Problem("source-missing", "there is none"))
    heard.announcer.finished(replace(claim, outcome="completed"), None)
    assert [(change.kind, dict(change.data)) for change in heard] == [
        ("claimed", {"job": "a.json", "waited_seconds": 1.235}),
        ("ended", {"job": "a.json", "status": "failed", "code": "source-missing"}),
        ("ended", {"job": "a.json", "status": "completed", "code": ""}),
    ]
