"""The report is a fold: it never fails, and may be taken up at any event."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.report import GuestFold, fold, job_stages
from hypersdkd.model.stage import Stage
from tests.model.test_event import values

KEYS = ("key", "value", "percent", "bytes_done", "eta_seconds", "kind", "path", "problem", "reason", "tool", "outputs")
times = st.sampled_from(["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:05.500Z", "2026-01-01T00:00:00", "", "x"])
odd = values | st.sampled_from([float("inf"), float("nan"), "crash", "interruption", {"code": "x"}])
loose = st.builds(
    Event,
    seq=st.just(0),
    type=st.sampled_from(EventType),
    time=times,
    vm=st.sampled_from(["", "a", "b"]),
    stage=st.sampled_from(["", *Stage, "unheard"]),
    data=st.dictionaries(st.sampled_from(KEYS), odd, max_size=4),
)


def numbered(events: Sequence[Event]) -> list[Event]:
    return [
        Event(number, event.type, event.time, event.vm, event.stage, event.data)
        for number, event in enumerate(events, start=1)
    ]


def shown(state: GuestFold) -> str:
    """All that a fold tells."""
    rest = (state.state, state.problem, state.crashes, state.interruptions, state.attempts, state.publishing)
    return repr((state.report(), state.progress(), rest))


@given(st.lists(loose, max_size=12).map(numbered))
def test_every_prefix_of_events_folds(events: list[Event]) -> None:
    state = GuestFold("vm")
    for event in events:
        state.add(event)
        state.progress()
        json.dumps(state.report(), default=str)


@given(st.lists(loose, max_size=12).map(numbered), st.integers(0, 12))
def test_a_fold_may_be_taken_up_anywhere(events: list[Event], cut: int) -> None:
    state = fold(events[:cut])
    for event in events:  # what was seen already is passed over
        state.add(event)
    assert shown(state) == shown(fold(events))


T0, T1 = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:02.500Z"


def story(*parts: tuple[EventType, str, dict[str, object]]) -> list[Event]:
    return [Event(number, type_, T0, "web01", stage, data) for number, (type_, stage, data) in enumerate(parts, 1)]


def test_a_whole_guest() -> None:
    state = fold(
        [
            *story(
                (EventType.CLAIMED, "", {}),
                (EventType.STARTED, "", {}),
                (EventType.STAGE_STARTED, "load", {}),
                (EventType.FINDING, "load", {"key": "os", "value": "Debian"}),
                (EventType.FINDING, "load", {"key": "tool.qemu-img", "tool": "qemu-img", "version": "7.2"}),
                (EventType.ARTIFACT, "load", {"kind": "input", "path": "/in"}),
                (EventType.STAGE_SKIPPED, "fix", {"reason": "no plugin"}),
                (EventType.STAGE_STARTED, "convert", {}),
                (EventType.PROGRESS, "convert", {"percent": 40.9, "bytes_done": 4, "bytes_total": True}),
            ),
        ]
    )
    progress = state.progress()
    assert (progress.stage, progress.percent, progress.bytes_done, progress.bytes_total) == ("CONVERT", 40, 4, None)
    assert (progress.status, progress.vm) == (JobState.PROCESSING, "web01")
    state.add(Event(10, EventType.STAGE_FINISHED, T1, "web01", "convert"))
    state.add(Event(11, EventType.ARTIFACT, T1, "web01", "", {"kind": "output", "path": "/out"}))
    state.add(Event(12, EventType.CHECK, T1, "web01", "validate", {"name": "read", "passed": True}))
    state.add(Event(13, EventType.WARNING, T1, "web01", "validate", {"code": "x"}))
    state.add(Event(14, EventType.FINISHED, T1, "web01"))
    report = state.report()
    assert (report["status"], report["duration_seconds"], report["attempts"]) == ("completed", 2.5, 1)
    assert report["artifacts"] == {"input": ["/in"], "outputs": ["/out"]}
    assert report["guest"] == {"os": "Debian", "tool.qemu-img": None}
    assert report["tools"] == {"qemu-img": "7.2"}
    assert report["checks"] == [{"name": "read", "passed": True, "stage": "validate"}]
    stages = report["stages"]
    assert isinstance(stages, dict)
    assert stages["convert"]["duration_seconds"] == 2.5
    assert stages["fix"] == {"status": "skipped", "reason": "no plugin"}
    assert stages["inspect"] == {"status": "not run"}
    assert state.progress().percent == 100


def test_a_new_attempt_forgets_what_the_one_before_found() -> None:
    state = fold(
        story(
            (EventType.STARTED, "", {}),
            (EventType.STAGE_STARTED, "convert", {}),
            (EventType.FINDING, "load", {"key": "os", "value": "Debian"}),
            (EventType.PUBLISHING, "", {"outputs": [{"inode": 7}]}),
            (EventType.RECOVERED, "", {"reason": "crash"}),
            (EventType.RECOVERED, "", {"reason": "interruption"}),
            (EventType.STARTED, "", {}),
        )
    )
    assert (state.attempts, state.crashes, state.interruptions) == (2, 1, 1)
    assert state.report()["guest"] == {}
    assert state.publishing is None, "an inode may have been given to another file by now"


def test_a_failure_marks_its_stage() -> None:
    state = fold(
        story(
            (EventType.STARTED, "", {}),
            (EventType.STAGE_STARTED, "load", {}),
            (EventType.FAILED, "load", {"problem": {"code": "source-missing", "message": "gone"}}),
        )
    )
    assert state.problem is not None
    assert (state.state, state.problem.code) == (JobState.FAILED, "source-missing")
    stages = state.report()["stages"]
    assert isinstance(stages, dict)
    assert stages["load"]["status"] == "failed"


def test_the_stages_of_a_batch_are_the_worst_of_each() -> None:
    good = fold(story((EventType.STAGE_STARTED, "load", {}), (EventType.STAGE_FINISHED, "load", {}))).report()
    bad = fold(story((EventType.STAGE_STARTED, "load", {}), (EventType.FAILED, "load", {}))).report()
    assert job_stages([good, bad])["load"] == {"status": "failed"}
    assert job_stages([good, good])["load"] == {"status": "completed"}
    assert job_stages([good])["load"] == good["stages"]["load"]  # type: ignore[index]
    assert job_stages([])["load"] == {"status": "not run"}


def test_changes_are_told_in_their_order() -> None:
    rows = [{"path": f"/etc/{name}", "action": "written"} for name in "ab"]
    state = fold(story((EventType.STARTED, "", {}), *((EventType.CHANGE, "fix", row) for row in rows)))
    assert state.report()["changes"] == rows
