"""hyperctl's screens with a real daemon that is restarted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hypersdkd.cli.tui.app import QueueApp
from tests.cli.tui.screens import SIZE, shows
from tests.system.daemon_process import DaemonProcess


@pytest.mark.system
async def test_a_daemon_that_is_restarted(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path) as daemon:
        async with QueueApp(daemon.api).run_test(size=SIZE) as pilot:
            await shows(pilot, "● live", "running")
            await asyncio.to_thread(daemon.stop)
            await shows(pilot, "✗ no daemon", "trying again")
            await asyncio.to_thread(daemon.start)
            await shows(pilot, "● live", "running")
        daemon.stop()
