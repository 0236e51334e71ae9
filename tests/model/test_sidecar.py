"""Records keep the originals' fields and shape, and never lack a remedy."""

from __future__ import annotations

import json

import pytest

from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem
from hypersdkd.model.report import fold
from hypersdkd.model.sidecar import Ending

T = "2026-01-01T00:00:00.000Z"


def guest(name: str, last: EventType, output: str = "") -> dict[str, object]:
    events = [
        Event(1, EventType.STARTED, T, name),
        Event(2, EventType.STAGE_STARTED, T, name, "convert"),
        Event(3, EventType.WARNING, T, name, "convert", {"code": "image-unclean"}),
        Event(4, EventType.ARTIFACT, T, name, "", {"kind": "output", "path": output}),
        Event(5, last, T, name, "convert", {"problem": {"code": "no-space", "message": "full"}}),
    ]
    return fold(events).report()


def ending(outcome: JobState, mode: str = "manifest", **fields: object) -> dict[str, object]:
    made = Ending(
        id="web01.json",
        original_name="web01.json",
        mode=mode,
        outcome=outcome,
        claimed_at=T,
        ended_at=T,
        runs=2,
        **{"guests": [], **fields},  # type: ignore[arg-type]
    )
    record = json.loads(made.to_json())
    assert made.to_json().isascii()
    assert isinstance(record, dict)
    return record


def test_a_report() -> None:
    record = ending(JobState.COMPLETED, guests=[guest("web01", EventType.FINISHED, "/out/web01.qcow2")])
    assert (record["manifest"], record["status"], record["completed_at"]) == ("web01", "completed", T)
    assert (record["id"], record["job_id"], record["runs"], record["attempts"]) == ("web01.json", "web01", 2, 1)
    assert record["artifacts"] == {"input": [], "output": "/out/web01.qcow2", "outputs": ["/out/web01.qcow2"]}
    assert [warning["code"] for warning in record["warnings"]] == ["image-unclean"]  # type: ignore[index, attr-defined]


def test_a_disk_queues_record_says_success() -> None:
    record = ending(JobState.COMPLETED, mode="disk")
    assert (record["status"], record["original_name"], record["job_id"]) == ("success", "web01.json", "web01")
    assert "manifest" not in record


@pytest.mark.parametrize("outcome", [JobState.FAILED, JobState.CANCELLED])
def test_an_error(outcome: JobState) -> None:
    guests = [guest("a", EventType.FINISHED, "/out/a"), guest("b", EventType.FAILED, "/out/b")]
    problem = Problem("no-space", "full", "x" * 100_000)
    record = ending(outcome, guests=guests, problem=problem, log_tail=["last"])
    assert (record["status"], record["error"], record["code"]) == (outcome.value, "full", "no-space")
    assert (record["stage"], record["vm"], record["failed_at"]) == ("convert", "b", T)
    assert record["remedy"]
    assert len(str(record["exception"])) == 65536
    assert record["log_tail"] == ["last"]
    assert record["artifacts"] == {"input": [], "output": "/out/a", "outputs": ["/out/a"]}, "failed guests left none"
    assert [item["code"] for item in record["problems"]] == ["no-space"]  # type: ignore[index, attr-defined]


def test_an_error_of_a_job_that_never_came_to_its_guests() -> None:
    problems = (Problem("manifest-required", "version is required"), Problem("manifest-type", "no"))
    record = ending(JobState.FAILED, problem=problems[0], problems=problems)
    assert (record["stage"], record["vm"], record["attempts"]) == ("", "", 0)
    assert len(record["problems"]) == 2  # type: ignore[arg-type]
    assert ending(JobState.FAILED)["error"] == "the job failed"
