"""One job on the whole screen."""

from __future__ import annotations

from hypersdkd.cli.tui.job_screen import JobScreen
from tests.cli.conftest import RealRules
from tests.cli.tui.screens import SIZE, app, shows, until


async def test_a_job_whole(workflow: RealRules) -> None:
    async with app(workflow.url).run_test(size=SIZE, notifications=True) as pilot:
        await shows(pilot, "web01")
        await pilot.press("enter")
        await shows(pilot, "web01.json", "processing, 42%", "ETA 10s", "line 4", "/q/processing/x")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, JobScreen))
