"""job, pause, resume and plugins."""

from __future__ import annotations

import dataclasses
import json

import pytest

from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import JobDetail
from tests.cli.conftest import Canned, RealRules, Run


def test_show(run: Run, workflow: RealRules) -> None:
    result = run("job", "show", "web01.json")
    assert result.status == 0
    assert "42%" in result.out
    assert "420 B/1000 B" in result.out
    assert "ETA 10s" in result.out
    assert json.loads(run("job", "show", "web01.json", "--json").out)["id"] == "web01.json"


def test_show_tells_why_a_job_failed(run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch) -> None:
    async def job(job_id: str) -> JobDetail:
        problem = Problem("no-space", "2 GiB are missing", detail="the log's end")
        row = dataclasses.replace(workflow._row(job_id), status=JobState.FAILED)
        return JobDetail(row, "/q/failed/x", job_id, 1, None, problem, ("a.vmdk", "b.vmdk"))

    monkeypatch.setattr(workflow, "job", job)
    result = run("job", "show", "bad.json", "-v")
    assert result.status == 0
    assert "a.vmdk, b.vmdk" in result.out
    assert "2 GiB are missing\n  remedy: Free the space" in result.err
    assert "the log's end" in result.err


def test_names_travel_whole(run: Run, workflow: RealRules) -> None:
    name = "a\nb {x} ünï.json"
    assert run("job", "show", name).status == 0
    assert ("job", name) in workflow.calls


def test_log(run: Run, workflow: RealRules) -> None:
    assert run("job", "log", "web01.json").out == "".join(f"line {number}\n" for number in range(5))
    assert run("job", "logs", "web01.json", "--lines", "2").out == "line 3\nline 4\n"
    assert json.loads(run("job", "log", "web01.json", "--json").out)["lines"][0] == "line 0"
    assert run("job", "log", "web01.json", "--lines", "0").status == 2


def test_a_job_without_a_log_says_so(run: Run, workflow: RealRules, monkeypatch: pytest.MonkeyPatch) -> None:
    async def log(job_id: str, lines: int) -> list[str]:
        return []

    monkeypatch.setattr(workflow, "log", log)
    result = run("job", "log", "web01.json")
    assert (result.status, result.out, "INFO  There is no log" in result.err) == (0, "", True)


def test_report(run: Run, workflow: RealRules) -> None:
    assert json.loads(run("job", "report", "web01.json").out) == {"id": "web01.json", "status": "completed"}


def test_cancel_and_retry(run: Run, workflow: RealRules) -> None:
    assert run("job", "cancel", "web01.json").status == 0
    assert run("job", "retry", "bad.json").status == 0
    assert json.loads(run("job", "retry", "bad.json", "--json").out) == {"success": True, "job_id": "bad.json"}
    assert [call for call in workflow.calls if call[0] in {"cancel", "retry"}][:2] == [
        ("cancel", "web01.json"),
        ("retry", "bad.json"),
    ]


@pytest.mark.parametrize("action", ["show", "log", "report", "cancel", "retry"])
def test_a_job_that_does_not_exist(run: Run, workflow: RealRules, action: str) -> None:
    result = run("job", action, "nothing.json")
    assert (result.status, result.out) == (1, "")
    assert "There is no such job" in result.err


def test_what_is_not_possible(run: Run, workflow: RealRules) -> None:
    result = run("job", "retry", "web01.json")
    assert result.status == 1
    assert "only failed and cancelled jobs" in result.err


def test_pause_and_resume(run: Run, workflow: RealRules) -> None:
    assert run("pause").status == 0
    assert run("resume").status == 0
    assert [call[0] for call in workflow.calls] == ["pause", "resume"]


def test_plugins(run: Run, canned: Canned) -> None:
    plugins = [
        {"name": "load_disk", "state": "loaded", "hooks": ["hypersdkd_loaders"], "problem": None},
        {"name": "mine", "state": "failed", "hooks": [], "problem": {"message": "\x1b[2Jno import"}},
    ]
    canned.answers["*"] = (200, "application/json", json.dumps({"plugins": plugins}).encode())
    result = run("plugins")
    assert "load_disk  loaded  hypersdkd_loaders" in result.out
    assert result.out.rstrip().endswith("no import")
    assert "\x1b" not in result.out
    assert json.loads(run("plugins", "--json").out) == {"plugins": plugins}


@pytest.mark.parametrize(
    "line",
    ["job show a", "job log a", "job report a", "job cancel a", "job retry a", "pause", "resume", "plugins"],
)
def test_what_needs_the_daemon_says_where_it_looked(run: Run, line: str) -> None:
    result = run(*line.split())
    assert (result.status, result.out) == (3, "")
    assert "http://127.0.0.1:9" in result.err


def test_the_address_of_the_command_line_counts(run: Run, workflow: RealRules) -> None:
    result = run("pause", "--url", "http://127.0.0.1:1")
    assert (result.status, workflow.calls) == (3, [])
    assert "http://127.0.0.1:1" in result.err
    assert run("pause", "--socket", "/nowhere.sock").status == 3
    assert run("pause", "--url", "ftp://x").status == 2
