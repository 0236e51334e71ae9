"""watch: lines where the output goes to a file, objects as JSON, the directories without a daemon."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hypersdkd.model.problem import fail
from hypersdkd.model.replies import JobPage, JobQuery
from tests.cli.conftest import Canned, RealRules, Run
from tests.cli.test_workflow import STATUS, fill
from tests.web.fake import RUNNING

LOOKS = ("--interval", "0.001", "--count")


def test_only_what_is_new_is_written(run: Run, workflow: RealRules) -> None:
    result = run("workflow", "-op", "watch", *LOOKS, "3")
    assert result.status == 0
    lines = result.out.splitlines()
    assert re.fullmatch(r"Updated at \d\d:\d\d:\d\d", lines[0])
    assert lines[1:] == ["Queue: 1 | Active: 1 | Done: 0 | Failed: 1", "web01.json  web01  convert  40%"]
    assert [call[0] for call in workflow.calls] == ["listen", "status", "jobs"], "told, not asked"


def test_json_is_an_object_a_look(run: Run, workflow: RealRules) -> None:
    result = run("workflow", "watch", "--json", *LOOKS, "2")
    looks = [json.loads(line) for line in result.out.splitlines()]
    assert [look["queue_depth"] for look in looks] == [1, 1]
    assert looks[0]["jobs"][0]["vms"][0]["percent"] == 42


def test_a_daemon_that_pauses(run: Run, canned: Canned) -> None:
    status = json.dumps({**STATUS, "paused": True}).encode()
    canned.answers["/api/workflow/status"] = (200, "application/json", status)
    canned.answers["/api/workflow/jobs/active"] = (200, "application/json", b'{"jobs": null}')
    assert "Paused" in run("workflow", "watch", *LOOKS, "1").out


def test_without_a_daemon_it_says_so_and_reads_the_directories(run: Run, elsewhere: Path) -> None:
    fill(elsewhere / "manifest-workflow")
    result = run("workflow", "watch", *LOOKS, "2")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[1] == "Queue: 2 | Active: 1 | Done: 1 | Failed: 1"
    assert "http://127.0.0.1:9" in lines[2]
    assert str(elsewhere / "manifest-workflow") in lines[2]
    assert lines[3:] == ["red.json  processing"]
    assert json.loads(run("workflow", "watch", "--json", *LOOKS, "1").out)["last_error"]


def told_after(workflow: RealRules, *changes: tuple[str, dict[str, object]]) -> None:
    """Let the daemon tell of these as soon as it has answered the first look."""
    answer = workflow.jobs

    async def jobs(query: JobQuery) -> JobPage:
        for change in changes:
            workflow.broadcast.publish(*change)
        return await answer(query)

    workflow.jobs = jobs  # type: ignore[method-assign]


def test_ends_are_told_in_a_pipe_however_quick_they_were(run: Run, workflow: RealRules) -> None:
    told_after(
        workflow,
        ("job", {**RUNNING.as_dict(), "id": "quick.json"}),
        ("job", {"id": "quick.json", "status": "completed"}),
        ("ended", {"job": "quick.json", "status": "completed", "code": ""}),
        ("job", {"id": "web01.json", "status": "failed"}),
        ("ended", {"job": "web01.json", "status": "failed", "code": "source-\x1b[31mmissing"}),
        ("ended", {"job": "gone.json", "status": "cancelled", "code": "cancelled"}),
    )
    result = run("workflow", "watch", "--interval", "1", "--count", "2")
    lines = result.out.splitlines()[2:]
    assert "quick.json  completed" in lines
    assert any(re.fullmatch(r"web01\.json  failed: source-.*missing", line) for line in lines)
    assert "gone.json  cancelled" in lines
    assert "\x1b" not in result.out
    assert [call[0] for call in workflow.calls].count("status") in {2, 3}, "once at first, once a look"


def test_who_has_no_live_events_is_asked(run: Run, canned: Canned) -> None:
    canned.answers["/api/workflow/status"] = (200, "application/json", json.dumps(STATUS).encode())
    canned.answers["/api/workflow/jobs/active"] = (200, "application/json", b'{"jobs": null}')
    assert run("workflow", "watch", *LOOKS, "3").status == 0
    assert canned.asked.count("/api/workflow/events") == 1, "that does not change"
    assert canned.asked.count("/api/workflow/status") == 3


def test_what_answers_with_a_page_has_no_live_events(run: Run, canned: Canned) -> None:
    canned.answers["/api/workflow/events"] = (200, "text/html", b"<html>a page for everything</html>")
    canned.answers["/api/workflow/status"] = (200, "application/json", json.dumps(STATUS).encode())
    canned.answers["/api/workflow/jobs/active"] = (200, "application/json", b'{"jobs": null}')
    assert run("workflow", "watch", *LOOKS, "2").out.splitlines()[1].startswith("Queue: ")


def test_a_stream_without_room_is_tried_again(run: Run, canned: Canned) -> None:
    problem = json.dumps({"code": "request-busy", "detail": "no room", "status": 503}).encode()
    canned.answers["/api/workflow/events"] = (503, "application/problem+json", problem)
    canned.answers["/api/workflow/status"] = (200, "application/json", json.dumps(STATUS).encode())
    canned.answers["/api/workflow/jobs/active"] = (200, "application/json", b'{"jobs": null}')
    run("workflow", "watch", *LOOKS, "3")
    assert canned.asked.count("/api/workflow/events") == 3


def test_an_error_of_the_daemon_ends_it(run: Run, workflow: RealRules) -> None:
    workflow.error = fail("queue-unusable", "the queue is gone")
    assert run("workflow", "watch", *LOOKS, "5").status == 1


def test_a_configuration_is_complained_of_once(run: Run, elsewhere: Path) -> None:
    (elsewhere / "c.yaml").write_text("mode: floppy\n")
    assert run("workflow", "watch", "--config", "c.yaml", *LOOKS, "3").err.count("WARNING") == 1


@pytest.mark.parametrize("wrong", [("--interval", "0"), ("--interval", "nan"), ("--count", "-1")])
def test_numbers_that_make_no_sense(run: Run, wrong: tuple[str, str]) -> None:
    assert run("workflow", "watch", *wrong).status == 2
