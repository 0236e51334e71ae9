"""A pilot at the screens, and what they show as text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from hypersdkd.cli.tui.app import QueueApp
from hypersdkd.client.address import parse_address
from hypersdkd.client.http import Daemon

SIZE = (80, 24)


def app(url: str) -> QueueApp:
    return QueueApp(Daemon(parse_address(url), timeout=5))


def screen(shown: QueueApp) -> str:
    """What the terminal shows, line by line."""
    return "\n".join(
        "".join(part.text for part in strip).rstrip() for strip in shown.screen._compositor.render_strips()
    )


async def until(pilot: Pilot[int], found: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not found():
            await pilot.pause(0.02)


async def shows(pilot: Pilot[int], *words: str) -> None:
    try:
        await until(pilot, lambda: all(word in screen(pilot.app) for word in words))
    except TimeoutError:
        pytest.fail(f"{words} are not all in\n{screen(pilot.app)}")
