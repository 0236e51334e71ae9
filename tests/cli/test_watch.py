"""watch: lines where the output goes to a file, objects as JSON, the directories without a daemon."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hypersdkd.model.problem import fail
from tests.cli.conftest import Canned, RealRules, Run
from tests.cli.test_workflow import STATUS, fill

LOOKS = ("--interval", "0.001", "--count")


def test_only_what_is_new_is_written(run: Run, workflow: RealRules) -> None:
    result = run("workflow", "-op", "watch", *LOOKS, "3")
    assert result.status == 0
    lines = result.out.splitlines()
    assert re.fullmatch(r"Updated at \d\d:\d\d:\d\d", lines[0])
    assert lines[1:] == ["Queue: 1 | Active: 1 | Done: 0 | Failed: 1", "web01.json  web01  convert  40%"]
    assert len([call for call in workflow.calls if call[0] == "status"]) == 3


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


def test_an_error_of_the_daemon_ends_it(run: Run, workflow: RealRules) -> None:
    workflow.error = fail("queue-unusable", "the queue is gone")
    assert run("workflow", "watch", *LOOKS, "5").status == 1


def test_a_configuration_is_complained_of_once(run: Run, elsewhere: Path) -> None:
    (elsewhere / "c.yaml").write_text("mode: floppy\n")
    assert run("workflow", "watch", "--config", "c.yaml", *LOOKS, "3").err.count("WARNING") == 1


@pytest.mark.parametrize("wrong", [("--interval", "0"), ("--interval", "nan"), ("--count", "-1")])
def test_numbers_that_make_no_sense(run: Run, wrong: tuple[str, str]) -> None:
    assert run("workflow", "watch", *wrong).status == 2
