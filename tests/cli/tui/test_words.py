"""What the screens say of replies."""

from __future__ import annotations

from hypersdkd.cli.tui.following import Look
from hypersdkd.cli.tui.words import job_text, status_lines
from hypersdkd.model.problem import Problem

JOB = {
    "id": "web01.json",
    "status": "failed",
    "progress": 40,
    "attempts": 2,
    "elapsed_seconds": 7,
    "path": "/q/failed/web01.json",
    "vms": [],
    "problem": {"code": "source-missing", "message": "There is no \x1b[31ma.vmdk", "remedy": "Put it there."},
}
EVENTS = [
    {"vm": "web01", "stage": "load", "type": "stage_started"},
    {"vm": "web01", "stage": "", "type": "failed"},
    {"vm": "web01", "stage": "", "type": "started"},
    {"vm": "web01", "stage": "load", "type": "stage_started"},
    {"vm": "web01", "stage": "load", "type": "stage_finished"},
    {"vm": "web01", "stage": "inspect", "type": "stage_skipped"},
    {"vm": "web01", "stage": "fix", "type": "stage_started"},
    {"vm": "web01", "stage": "fix", "type": "finding", "key": "virtual_size", "value": 7},
    {"vm": "web01", "stage": "fix", "type": "change", "action": "written", "path": "/etc/fstab"},
    {"vm": "web01", "stage": "fix", "type": "check", "name": "root", "passed": False, "detail": "it is away"},
    {"vm": "web01", "stage": "fix", "type": "warning", "message": "slow"},
    {"vm": "web01", "stage": "", "type": "failed"},
]

SHOWN = """\
web01.json
failed, 40%, 7s, 2 attempts
/q/failed/web01.json

Error
  There is no a.vmdk (source-missing)
  remedy: Put it there.

Stages
  web01  ✓ load  - inspect  ✗ fix  · convert  · validate

Findings
  virtual_size: 7
  written /etc/fstab
  root: not so it is away
  warning: slow

Log
  one
  two[/b]"""


def test_a_failed_job_begins_with_its_problem() -> None:
    assert job_text(JOB, EVENTS, ["one", "two\x1b[2J[/b]"], 80) == SHOWN


def test_a_paused_daemon() -> None:
    reply = {"mode": "manifest", "running": True, "paused": True, "max_workers": 3, "disk": {"free_bytes": 2**30}}
    first, second = status_lines(Look("asking", reply), reply)
    assert first == "○ asking  manifest  paused  workers 0/3  up 0s  1.0 GiB free"
    assert second == "queued 0  active 0  today: 0 done, 0 failed"


def test_a_daemon_that_is_away() -> None:
    look = Look("away", problem=Problem("daemon-unreachable", "No daemon", "", "Start it."))
    assert status_lines(look, {}) == ("✗ no daemon  No daemon", "trying again; Start it.")
