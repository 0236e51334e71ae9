"""Pages of jobs, and what their names cannot do."""

from __future__ import annotations

import dataclasses

from hypersdkd.model.job import JobState, JobSummary
from tests.cli.conftest import RealRules
from tests.cli.tui.screens import SIZE, app, screen, shows


async def test_pages(workflow: RealRules) -> None:
    workflow.rows = [JobSummary(f"job{number:03}.json", JobState.PENDING) for number in range(150)]
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await pilot.press("2")
        await shows(pilot, "1-100 of 150")
        await pilot.press("n")
        await shows(pilot, "101-200 of 150")
        await pilot.press("b")
        await shows(pilot, "1-100 of 150")


async def test_hostile_names_are_harmless(workflow: RealRules) -> None:
    name = "[red]\x1b[31mevil\u202e[x" + "W" * 10_000 + ".json"
    workflow.rows = [dataclasses.replace(workflow.rows[0], id=name)]
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "[red]evil[x")
        await pilot.press("c")
        await shows(pilot, "Cancel [red]evil[x")
        assert not {"\x1b", "\u202e"} & set(screen(pilot.app))
