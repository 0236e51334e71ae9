"""Records of ended jobs: supersets of hyper2kvm's, as their schemas say."""

from __future__ import annotations

import json

import pytest

from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem
from hypersdkd.model.report import fold
from hypersdkd.model.sidecar import Ending
from tests.records import check_record

TIME = "2026-01-02T03:04:05.678Z"
PROBLEM = Problem("no-space", "no room", "df says so", path="pipeline.convert")


def ending(outcome: JobState, mode: str = "manifest", guests: int = 1, problem: Problem | None = None) -> Ending:
    last = {JobState.COMPLETED: EventType.FINISHED, JobState.FAILED: EventType.FAILED}.get(outcome, EventType.CANCELLED)
    data = {} if problem is None else {"problem": problem.as_dict()}
    events = [
        Event(1, EventType.CLAIMED, TIME, "a"),
        Event(2, EventType.STARTED, TIME, "a"),
        Event(3, EventType.STAGE_STARTED, TIME, "a", "load"),
        Event(4, EventType.ARTIFACT, TIME, "a", "load", {"kind": "input", "path": "/srv/a.vmdk", "bytes": 1}),
        Event(5, EventType.STAGE_FINISHED, TIME, "a", "load"),
        Event(6, EventType.WARNING, TIME, "a", "inspect", Problem("manifest-unsupported", "not here").as_dict()),
        Event(7, EventType.CHECK, TIME, "a", "validate", {"name": "structure", "passed": True, "detail": ""}),
        Event(8, EventType.ARTIFACT, TIME, "a", "", {"kind": "output", "path": "/out/a.qcow2", "bytes": 1}),
        Event(9, last, TIME, "a", "convert", data),
    ]
    reports = [fold(events).report() for _ in range(guests)]
    return Ending("a.v1.json", "a.v1.json", mode, outcome, TIME, TIME, 1, reports, problem, log_tail=["x"])


def test_a_report_keeps_what_hyper2kvm_writes() -> None:
    record = ending(JobState.COMPLETED).record()
    check_record(record, "report")
    assert (record["manifest"], record["status"], record["completed_at"]) == ("a.v1", "completed", TIME)
    assert record["artifacts"] == {"input": ["/srv/a.vmdk"], "output": "/out/a.qcow2", "outputs": ["/out/a.qcow2"]}


def test_a_meta_keeps_what_hyper2kvm_writes() -> None:
    record = ending(JobState.COMPLETED, "disk").record()
    check_record(record, "meta")
    assert (record["job_id"], record["original_name"], record["status"]) == ("a.v1", "a.v1.json", "success")


@pytest.mark.parametrize("outcome", [JobState.FAILED, JobState.CANCELLED])
def test_an_error_says_what_where_and_what_to_do(outcome: JobState) -> None:
    record = ending(outcome, problem=PROBLEM).record()
    check_record(record, "error")
    assert (record["job_id"], record["status"], record["error"]) == ("a.v1", outcome.value, "no room")
    assert (record["code"], record["stage"], record["vm"]) == ("no-space", "convert", "a")
    assert record["artifacts"]["outputs"] == [], "an output that was not published is none"


def test_a_job_that_never_had_a_guest() -> None:
    record = Ending("a.json", "a.json", "manifest", JobState.FAILED, TIME, TIME, 1, [], PROBLEM).record()
    check_record(record, "error")
    assert record["vm"] == ""


def test_a_batch_tells_of_each_guest_and_of_the_worst_of_each_stage() -> None:
    record = ending(JobState.FAILED, guests=3, problem=PROBLEM).record()
    check_record(record, "error")
    assert len(record["vms"]) == 3
    assert record["stages"]["convert"] == {"status": "failed"}


def test_the_bytes_are_ascii() -> None:
    problem = Problem("step-failed", "\x1b[31m \u202e é")
    assert json.loads(ending(JobState.FAILED, problem=problem).to_json())["error"] == problem.message
    assert ending(JobState.FAILED, problem=problem).to_json().isascii()
