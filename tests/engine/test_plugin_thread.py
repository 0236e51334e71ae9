"""One plugin's thread: one call at a time, each with its own time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from hypersdkd.engine.plugin_thread import CallTimeoutError, NotCalledError, PluginThread


@pytest.fixture
def thread() -> Iterator[PluginThread]:
    made = PluginThread("x")
    yield made
    made.close()


async def test_a_call_that_stays_away_holds_the_thread_until_it_returns(thread: PluginThread) -> None:
    gate = threading.Event()
    with pytest.raises(CallTimeoutError):
        await thread.call(lambda: gate.wait(20), 0.05, patience=5)
    assert thread.busy
    with pytest.raises(NotCalledError):
        await thread.call(lambda: 1, 5, patience=5)
    gate.set()
    async with asyncio.timeout(20):
        while thread.busy:
            await asyncio.sleep(0.001)
    assert await thread.call(lambda: 1, 5, patience=5) == 1


async def test_patience_ends_while_others_are_served(thread: PluginThread) -> None:
    gate = threading.Event()
    first = asyncio.create_task(thread.call(lambda: gate.wait(20), 5, patience=5))
    await asyncio.sleep(0)
    with pytest.raises(NotCalledError):
        await thread.call(lambda: 1, 5, patience=0.01)
    gate.set()
    assert await first
    assert await thread.call(lambda: 2, 5, patience=5) == 2


async def test_a_timeout_that_the_call_raises_is_its_own(thread: PluginThread) -> None:
    def call() -> object:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await thread.call(call, 5, patience=5)


@pytest.mark.parametrize("served", [False, True])
async def test_whoever_gives_up_passes_the_turn_on(thread: PluginThread, served: bool) -> None:
    gate = threading.Event()
    tasks = [asyncio.create_task(thread.call(lambda: gate.wait(20), 5, patience=5)) for _ in range(3)]
    await asyncio.sleep(0)
    if served:  # given up in the very moment in which its turn comes
        tasks[0].add_done_callback(lambda _done: tasks[1].cancel())
    else:
        tasks[1].cancel()
    gate.set()
    assert await tasks[0]
    assert await tasks[2]
    assert await thread.call(lambda: 3, 5, patience=5) == 3
