"""What the log says of jobs and guests."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from hypersdkd.engine.job_log import job_log, log_event
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.problem import Problem

PROBLEM = Problem("no-space", "2 GiB are missing").as_dict()


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        (EventType.FAILED, {"problem": PROBLEM}, ("warning", "guest failed", "2 GiB are missing")),
        (EventType.FAILED, {}, ("warning", "guest failed", "the guest failed")),
        (EventType.WARNING, {"code": "c", "message": "doubtful"}, ("warning", "guest warning", "doubtful")),
        (EventType.FINISHED, {}, ("info", "guest completed", None)),
        (EventType.CANCELLED, {"problem": PROBLEM}, ("info", "guest cancelled", None)),
        (EventType.STAGE_STARTED, {}, ("debug", "stage begins", None)),
    ],
)
def test_what_is_told(kind: EventType, data: dict[str, object], expected: tuple[str, str, str | None]) -> None:
    with capture_logs() as lines:
        log_event(job_log("b.json", "web01"), Event(7, kind, "", "web01", "convert", data))
    (line,) = lines
    assert (line["job"], line["vm"], line["stage"]) == ("b.json", "web01", "convert")
    assert (line["log_level"], line["event"], line.get("error", line.get("warning"))) == expected


@pytest.mark.parametrize("kind", [EventType.PROGRESS, EventType.FINDING, EventType.CHECK, EventType.ARTIFACT])
def test_what_is_in_the_journal_alone(kind: EventType) -> None:
    with capture_logs() as lines:
        log_event(job_log("b.json"), Event(7, kind, "", "web01", "convert", {"percent": 3}))
    assert lines == []
