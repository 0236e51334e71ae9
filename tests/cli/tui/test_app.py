"""The screens as text, at 80 columns and 24 lines, against a real server with a workflow in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hypersdkd.cli.tui.dialogs import Confirm, Help
from hypersdkd.cli.tui.jobs_table import JobsTable
from hypersdkd.model.problem import fail
from tests.cli.conftest import NOWHERE, Canned, RealRules
from tests.cli.tui.screens import SIZE, app, screen, shows, until

PAGE = (Path(__file__).parents[3] / "docs" / "hyperctl.md").read_text()
GOOD = {"version": "1.0", "pipeline": {"load": {"source_type": "vmdk", "source_path": "/srv/a.vmdk"}}}


async def test_the_queue(workflow: RealRules) -> None:
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "● live", "web01", "processing", "convert", "42%", "1-1 of 1", "today: 0 done, 1 failed")
        documented = PAGE.partition("### `hyperctl tui`")[2].split("```")[1].strip("\n")
        await shows(pilot, documented, "q Quit")
        assert all(len(line) <= 80 for line in screen(pilot.app).splitlines())
        await pilot.press("4")
        await shows(pilot, "bad", "failed")
        assert "web01" not in screen(pilot.app)


async def test_what_happens_is_seen(workflow: RealRules) -> None:
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "web01", "42%")
        workflow.tell("job", {**workflow.rows[0].as_dict(), "progress": 77})
        await shows(pilot, "77%")


@pytest.mark.parametrize(("key", "call"), [("c", "cancel"), ("r", "retry"), ("p", "pause")])
async def test_nothing_is_done_before_yes(workflow: RealRules, key: str, call: str) -> None:
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "web01")
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Confirm))
        assert not [each for each in workflow.calls if each[0] == call]
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.click("#yes")
        await until(pilot, lambda: [each for each in workflow.calls if each[0] == call])


async def test_a_refusal_is_shown_with_its_remedy(workflow: RealRules) -> None:
    async with app(workflow.url).run_test(size=(100, 40), notifications=True) as pilot:
        await shows(pilot, "web01")
        workflow.error = fail("job-unknown", "No job [bold]here", remedy="Look again.")
        await pilot.press("c", "y")
        await shows(pilot, "No job [bold]here", "remedy: Look again.")


async def test_submit(workflow: RealRules, tmp_path: Path) -> None:
    path = tmp_path / "web02.json"
    path.write_text(json.dumps(GOOD))
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "web01")
        await pilot.press("s", *str(tmp_path / "web0"))
        await pilot.pause(0.1)
        await pilot.press("right", "enter")
        await until(pilot, lambda: [each for each in workflow.calls if each[0] == "submit"])
        await pilot.press("s", *"/nowhere.json", "enter")
        await shows(pilot, "remedy: Check the path")


async def test_search_and_help(workflow: RealRules) -> None:
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "web01")
        await pilot.press("slash", *"ba[d", "enter")
        await until(pilot, lambda: any(c[0] == "jobs" and c[1].q == "ba[d" for c in workflow.calls))
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, Help))
        await shows(pilot, "Ctrl-C: leave with status 130")


async def test_a_daemon_that_is_away_is_found_when_it_is_back(workflow: RealRules) -> None:
    workflow.error = fail("internal", "Out of order")
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "no daemon", "trying again")
        workflow.error = None
        await shows(pilot, "● live", "web01")


async def test_without_any_daemon() -> None:
    async with app(NOWHERE).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "✗ no daemon", NOWHERE)
        await pilot.press("q")
    assert pilot.app.return_value == 0


async def test_a_small_screen_and_a_large_one(workflow: RealRules) -> None:
    async with app(workflow.url).run_test(size=(200, 60), notifications=True) as pilot:
        await shows(pilot, "web01")
        await pilot.resize_terminal(40, 12)
        await shows(pilot, "web01")
        assert pilot.app.query_one(JobsTable).size.width <= 40
        await pilot.press("ctrl+c")
    assert pilot.app.return_value == 130


async def test_replies_that_are_none_of_ours(canned: Canned) -> None:
    answers = canned.answers
    answers["/api/workflow/status"] = (200, "application/json", b'{"disk": 5}')
    answers["/api/workflow/jobs/active"] = (200, "application/json", b'{"jobs": []}')
    async with app(canned.url).run_test(size=(120, 30), notifications=True) as pilot:
        await shows(pilot, "disk is not an object")
        answers["/api/workflow/status"] = (200, "application/json", b'{"mode": "manifest", "running": true}')
        answers["/api/workflow/jobs"] = (200, "application/json", b'{"jobs": [{"id": "a", "name": 5}]}')
        await shows(pilot, "○ asking", "name is not a text")
