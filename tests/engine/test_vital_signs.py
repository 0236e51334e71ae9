"""What systemd hears of a daemon that works, is stuck, goes on, and is started again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from hypersdkd.engine.vital_signs import VitalSigns
from hypersdkd.host.last_words import leave_words, take_words
from hypersdkd.host.systemd import Notifier

Hear = Callable[[], Awaitable[str]]


@pytest.fixture
def hear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hear]:
    """A systemd that hears one message after the other, and has more patience than any test takes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
        monkeypatch.setenv("WATCHDOG_USEC", "120000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

        async def one() -> str:
            return (await asyncio.to_thread(notices.recv, 4096)).decode()

        yield one


async def test_it_lives_only_while_nothing_is_stuck(hear: Hear) -> None:
    stuck = "the scheduler sleeps"
    notifier = Notifier()
    signs = asyncio.create_task(VitalSigns(notifier, lambda _seconds: stuck, lambda: "busy").run())
    assert [await hear(), await hear()] == ["STATUS=the scheduler sleeps"] * 2
    stuck = ""
    while (said := await hear()) == "STATUS=the scheduler sleeps":
        pass
    assert [said, await hear()] == ["STATUS=busy", "WATCHDOG=1"]
    assert take_words() == "", "it got on: nothing to tell the next one"
    signs.cancel()
    await asyncio.gather(signs, return_exceptions=True)
    notifier.close()


async def test_a_loop_that_is_stuck_is_told_of_meanwhile(
    hear: Hear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    notifier = Notifier()
    signs = asyncio.create_task(VitalSigns(notifier, lambda _seconds: "", lambda: "busy").run())
    while await hear() != "STATUS=busy":
        pass
    while not (tmp_path / "last-words").exists():
        time.sleep(0.01)  # the loop is held up
    assert "the daemon's loop has been stuck for" in (tmp_path / "last-words").read_text()
    while "loop has been stuck" not in await hear():
        pass
    while await hear() != "STATUS=busy":
        pass
    signs.cancel()
    await asyncio.gather(signs, return_exceptions=True)
    notifier.close()


async def test_the_next_one_tells_of_it(hear: Hear) -> None:
    leave_words("the disk slept")
    notifier = Notifier()
    signs = asyncio.create_task(VitalSigns(notifier, lambda _seconds: "", lambda: "busy").run())
    assert await hear() == "STATUS=busy; started again after this: the disk slept"
    assert take_words() == ""
    signs.cancel()
    await asyncio.gather(signs, return_exceptions=True)
    notifier.close()
