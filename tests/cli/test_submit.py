"""manifest submit: several files, refusals, and waiting for the end."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest

from hypersdkd.client.http import Daemon
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import JobDetail
from tests.cli.conftest import RealRules, Run
from tests.cli.test_recordings import GOOD
from tests.web.fake import RUNNING


@pytest.fixture
def good(elsewhere: Path) -> str:
    (elsewhere / "good.json").write_text(json.dumps(GOOD))
    return "good.json"


def test_the_text_is_sent_as_it_is(run: Run, workflow: RealRules) -> None:
    text = b'{"version": "1.0",\n "big": 123456789012345678901234567890, "\xc3\xa9": 1, "pipeline": '
    text += json.dumps(GOOD["pipeline"]).encode() + b"}\n"
    Path("m.json").write_bytes(text)
    assert run("manifest", "submit", "m.json").status == 0
    assert next(call[1] for call in workflow.calls if call[0] == "submit") == text


def test_it_prints_where_the_job_is(run: Run, workflow: RealRules, good: str) -> None:
    result = run("manifest", "submit", "-file", good)
    assert result.status == 0
    assert result.out.startswith("Job ID: web01.json\nLocation: /q/to_be_processed/web01.json\n")
    document = json.loads(run("manifest", "submit", good, "--json").out)
    path = "/q/to_be_processed/web01.json"
    assert document == {"success": True, "job_id": "web01.json", "manifest_path": path, "file": good}


def test_a_refused_manifest_does_not_hold_up_the_others(run: Run, workflow: RealRules) -> None:
    Path("d").mkdir()
    for name, text in {"a.json": "{}", "b.json": json.dumps(GOOD), "c.yaml": "a: ["}.items():
        (Path("d") / name).write_text(text)
    result = run("manifest", "submit", "d")
    assert result.status == 1
    assert result.out.count("Job ID: ") == 1
    assert "  d/a.json:1:1: version is required" in result.out
    assert "d/c.yaml: Invalid JSON" in result.err
    files = json.loads(run("manifest", "submit", "d", "--json").out)["files"]
    assert [(each["file"], each["success"]) for each in files] == [
        ("d/a.json", False),
        ("d/b.json", True),
        ("d/c.yaml", False),
    ]
    assert "Job ID: web01.json (of d/b.json)" in result.out


def test_standard_input(run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(GOOD).encode())))
    assert run("manifest", "submit", "-").status == 0
    assert [call[-1] for call in workflow.calls if call[0] == "submit"] == [""], "the daemon names it"


def test_a_manifest_without_a_name_is_called_after_its_file(run: Run, workflow: RealRules) -> None:
    text = json.dumps({key: value for key, value in GOOD.items() if key != "name"})
    for name in ("late01-manifest.json", "db01.json", "-manifest.json"):
        Path(name).write_text(text)
        assert run("manifest", "submit", f"./{name}").status == 0
    assert [call[-1] for call in workflow.calls if call[0] == "submit"] == ["late01", "db01", ""]


def test_no_daemon_no_submission(run: Run, good: str) -> None:
    result = run("manifest", "submit", good)
    assert (result.status, result.out) == (3, "")
    assert "http://127.0.0.1:9" in result.err


def test_a_daemon_that_cannot_is_an_error(run: Run, workflow: RealRules, good: str) -> None:
    workflow.error = fail("queue-unusable", "the queue is gone")
    result = run("manifest", "submit", good)
    assert result.status == 1
    assert "the queue is gone" in result.err


def end_as(workflow: RealRules, monkeypatch: pytest.MonkeyPatch, *steps: tuple[JobState, int]) -> None:
    """Let the job take these states and percents, one a look."""
    monkeypatch.setattr("hypersdkd.cli.progress.LOOK_EVERY", 0.001)
    todo = list(steps)

    async def job(job_id: str) -> JobDetail:
        state, percent = todo.pop(0)
        guest = dataclasses.replace(RUNNING.guests[0], status=state, percent=percent)
        row = dataclasses.replace(RUNNING, id=job_id, status=state, progress=percent, guests=(guest,))
        problem = Problem("no-space", "2 GiB are missing") if state is JobState.FAILED else None
        return JobDetail(row, "/q/x", job_id, 1, None, problem)

    monkeypatch.setattr(workflow, "job", job)


def test_wait_shows_progress_and_the_outcome(
    run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch, good: str
) -> None:
    running = JobState.PROCESSING
    end_as(workflow, monkeypatch, (running, 1), (running, 14), (running, 17), (JobState.COMPLETED, 100))
    result = run("manifest", "submit", good, "--wait")
    assert result.status == 0
    lines = [line for line in result.out.splitlines() if line.startswith("web01.json")]
    assert lines == [f"web01.json  web01  {end}" for end in ("convert", "convert  10%", "completed")]
    assert "web01.json completed" in result.err


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_wait_ends_with_1_when_the_job_does_not_complete(
    run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch, good: str, state: JobState
) -> None:
    end_as(workflow, monkeypatch, (state, 3), (state, 3))
    result = run("manifest", "submit", good, "--wait")
    assert result.status == 1
    assert f"web01.json {state.value}" in result.err
    assert "remedy: " in result.err
    document = json.loads(run("manifest", "submit", good, "--wait", "--json").out)
    assert (document["job_id"], document["job"]["status"]) == ("web01.json", state.value)


def test_wait_outlives_a_restart_of_the_daemon(
    run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch, good: str
) -> None:
    end_as(workflow, monkeypatch, (JobState.PROCESSING, 1), (JobState.COMPLETED, 100))
    away = iter([True, False, True])

    def reach(daemon: object, job_id: str) -> object:
        if next(away, False):
            raise fail("daemon-unreachable", "nobody there")
        return reached(daemon, job_id)

    reached = Daemon.job
    monkeypatch.setattr("hypersdkd.client.http.Daemon.job", reach)
    result = run("manifest", "submit", good, "--wait")
    assert (result.status, "waiting: nobody there" in result.out) == (0, True)


def test_wait_loses_patience(run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch, good: str) -> None:
    monkeypatch.setattr("hypersdkd.cli.progress.PATIENCE", -1.0)

    def gone(daemon: object, job_id: str) -> object:
        raise fail("daemon-unreachable", "nobody there")

    monkeypatch.setattr("hypersdkd.client.http.Daemon.job", gone)
    assert run("manifest", "submit", good, "--wait").status == 3
