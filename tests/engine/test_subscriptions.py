"""A subscriber hears every change once, and one that raises or blocks harms nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from hypersdkd.engine import broadcast, subscriptions
from hypersdkd.engine.broadcast import Broadcast
from hypersdkd.engine.hook_calls import CALL_LIMIT, HookCalls
from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.subscriptions import Subscriptions
from hypersdkd.model.change import Change
from hypersdkd.model.problem import fail
from hypersdkd.spec.types import Subscriber


class Ear:
    """A subscriber's function that keeps what it hears, and does ``then`` with it."""

    def __init__(self, name: str, then: Callable[[Sequence[Change]], None] = lambda changes: None) -> None:
        self.heard: list[str] = []
        self.threads: set[str] = set()
        self.record = PluginRecord(name, name)
        self.subscriber = Subscriber(name, self.hear)
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def hear(self, changes: Sequence[Change]) -> None:
        self.heard += [str(change.data.get("n", change.kind)) for change in changes]
        self.threads.add(threading.current_thread().name)
        self._loop.call_soon_threadsafe(self._news.set)
        self._then(changes)

    async def until(self, *heard: object) -> None:
        async with asyncio.timeout(10):
            while self.heard != list(map(str, heard)):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def telling(*ears: Ear) -> AsyncIterator[tuple[Broadcast, Subscriptions]]:
    calls, told = HookCalls(Plugins()), Broadcast()
    following = Subscriptions(calls, told)
    following.follow([(ear.record, ear.subscriber) for ear in ears])
    try:
        yield told, following
    finally:
        await following.close()
        calls.close()


def publish(told: Broadcast, *numbers: int) -> None:
    for number in numbers:
        told.publish("job", {"n": number})


async def test_each_change_once_in_order_in_the_plugins_thread() -> None:
    ear = Ear("ear")
    async with telling(ear) as (told, _):
        publish(told, *range(500))  # before its task has had a turn, too
        await ear.until(*range(500))
        publish(told, 500)
        await ear.until(*range(501))
    assert ear.threads == {"plugin-ear"}
    assert ear.record.state is PluginState.LOADED


@pytest.mark.parametrize("error", [KeyError("why"), SystemExit(3), fail("internal", "a problem is no answer here")])
async def test_one_that_raises_is_blamed_and_hears_what_comes_next(error: BaseException) -> None:
    def then(changes: Sequence[Change]) -> None:
        if changes[0].data["n"] == 1:
            raise error

    bad, good = Ear("bad", then), Ear("good")
    async with telling(bad, good) as (told, _):
        publish(told, 1)
        await bad.until(1)
        await good.until(1)
        publish(told, 2)
        await bad.until(1, 2)
        await good.until(1, 2)
    assert (bad.record.state, bad.record.errors) == (PluginState.FAULTY, 1)
    assert bad.record.problem is not None
    assert str(error) in bad.record.problem.message
    assert good.record.state is PluginState.LOADED


async def test_one_that_blocks_hears_the_rest_once_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HookCalls.contained, "__kwdefaults__", {"limit": 0.05, "patience": 0.05, "urgent": False})
    monkeypatch.setattr(subscriptions, "STUCK_PAUSE", 0.01)
    free = threading.Event()
    slow = Ear("slow", lambda changes: None if changes[0].data["n"] else free.wait(10))
    quick = Ear("quick")
    async with telling(slow, quick) as (told, _):
        publish(told, 0)
        await slow.until(0)
        publish(told, 1, 2)
        await quick.until(0, 1, 2)
        async with asyncio.timeout(10):
            while slow.record.state is not PluginState.FAULTY:
                await asyncio.sleep(0.01)
        free.set()
        await slow.until(0, 1, 2)
    assert slow.record.problem is not None
    assert "did not return within" in slow.record.problem.message
    assert CALL_LIMIT == 10.0


async def test_one_that_is_too_far_behind_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "BACKLOG", 3)
    monkeypatch.setattr(broadcast, "MEMORY", 5)
    free = threading.Event()
    slow = Ear("slow", lambda changes: None if changes[0].data.get("n") != 0 else free.wait(10))
    async with telling(slow) as (told, _):
        publish(told, 0)
        await slow.until(0)
        publish(told, *range(1, 21))
        free.set()
        await slow.until(0, 1, 2, 3, "reset")
        publish(told, 21)
        await slow.until(0, 1, 2, 3, "reset", 21)


async def test_one_that_fell_behind_a_little_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "BACKLOG", 3)
    free = threading.Event()
    slow = Ear("slow", lambda changes: None if changes[0].data.get("n") != 0 else free.wait(10))
    async with telling(slow) as (told, _):
        publish(told, 0)
        await slow.until(0)
        publish(told, *range(1, 21))
        free.set()
        await slow.until(*range(21))


async def test_who_stays_goes_on_and_who_is_gone_hears_no_more() -> None:
    stays, goes, comes = Ear("stays"), Ear("goes"), Ear("comes")
    async with telling(stays, goes) as (told, following):
        publish(told, 1)
        await stays.until(1)
        await goes.until(1)
        following.follow([(ear.record, ear.subscriber) for ear in (stays, comes)])
        publish(told, 2)
        await stays.until(1, 2)
        await comes.until(2)
    assert goes.heard == ["1"]


async def test_the_last_words_are_heard() -> None:
    ear = Ear("ear")
    async with telling(ear) as (told, _):
        publish(told, 1, 2, 3)
    assert ear.heard == ["1", "2", "3"]


async def test_one_that_is_stuck_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "LAST_WORDS", 0.05)
    free = threading.Event()
    stuck = Ear("stuck", lambda changes: bool(free.wait(10)) and None)
    async with asyncio.timeout(20), telling(stuck) as (told, _):
        publish(told, 1)
        await stuck.until(1)
    free.set()
