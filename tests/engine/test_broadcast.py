"""Who listens hears every change in order, or is told that some were missed; nobody waits for a slow listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine import broadcast as module
from hypersdkd.engine.broadcast import Broadcast, Change


def publish(broadcast: Broadcast, *numbers: int) -> None:
    for number in numbers:
        broadcast.publish("job", {"number": number})


def told(changes: list[Change]) -> list[object]:
    """The number of each change, ``reset`` for one that is none."""
    return [change.data["number"] if change.kind == "job" else change.kind for change in changes]


async def take(listener: AsyncIterator[Change], count: int) -> list[Change]:
    async with asyncio.timeout(5):
        return [await anext(listener) for _ in range(count)]


async def rest(listener: AsyncIterator[Change]) -> list[Change]:
    """Everything until the listener is ended."""
    async with asyncio.timeout(5):
        return [change async for change in listener]


async def begin(broadcast: Broadcast, last_id: str = "") -> tuple[AsyncIterator[Change], asyncio.Task[Change]]:
    """A listener that waits for its first change already."""
    listener = broadcast.listen(last_id)
    first = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    return listener, first


async def test_all_who_listen_hear_each_change_in_order() -> None:
    broadcast, heard = Broadcast(), list[Change]()
    broadcast.hear(heard.append)
    publish(broadcast, 0)  # before anybody listens
    listeners = [await begin(broadcast) for _ in range(2)]
    publish(broadcast, 1, 2, 3)
    for listener, first in listeners:
        changes = [await first, *await take(listener, 2)]
        assert told(changes) == [1, 2, 3]
        assert changes == heard[1:]
    assert len({change.id for change in heard}) == 4


async def test_who_comes_back_hears_what_it_missed_and_then_what_comes() -> None:
    broadcast, heard = Broadcast(), list[Change]()
    broadcast.hear(heard.append)
    publish(broadcast, 1, 2, 3)
    listener = broadcast.listen(heard[0].id)
    assert told(await take(listener, 1)) == [2]
    publish(broadcast, 4)  # while it still hears of the past
    assert told(await take(listener, 2)) == [3, 4]
    _listener, nothing = await begin(broadcast, heard[-1].id)
    assert not nothing.done()
    publish(broadcast, 5)
    assert told([await nothing]) == [5]


async def test_the_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 3)
    broadcast, heard = Broadcast(), list[Change]()
    broadcast.hear(heard.append)
    publish(broadcast, 1, 2, 3, 4, 5)
    # 3, 4 and 5 are remembered: who has 2 missed nothing for good, who has 1 missed 2
    assert told(await take(broadcast.listen(heard[1].id), 3)) == [3, 4, 5]
    (reset,) = await take(broadcast.listen(heard[0].id), 1)
    assert (reset.kind, reset.id) == ("reset", heard[-1].id)


@pytest.mark.parametrize("number", ["7", "-1", "", "x", "²", "9" * 5000, "1 "])
async def test_an_id_that_nobody_was_given_starts_anew(number: str) -> None:
    broadcast, heard = Broadcast(), list[Change]()
    broadcast.hear(heard.append)
    publish(broadcast, 1)
    token = heard[0].id.partition("-")[0]
    listener = broadcast.listen(f"{token}-{number}")
    assert told(await take(listener, 1)) == ["reset"]
    publish(broadcast, 2)
    assert told(await take(listener, 1)) == [2]


async def test_an_id_of_another_daemon_starts_anew() -> None:
    before, after, heard = Broadcast(), Broadcast(), list[Change]()
    before.hear(heard.append)
    publish(before, 1)
    publish(after, 1, 2)
    assert told(await take(after.listen(heard[0].id), 1)) == ["reset"]


@given(last_id=st.text(min_size=1))
def test_any_text_may_be_sent_as_an_id(last_id: str) -> None:
    assert told(asyncio.run(take(Broadcast().listen(last_id), 1))) == ["reset"]


async def test_a_slow_listener_is_cut_off_and_misses_nothing_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BACKLOG", 3)
    broadcast = Broadcast()
    slow, first = await begin(broadcast)
    quick, one = await begin(broadcast)
    publish(broadcast, 1)
    before = [await first]
    assert told([await one]) == [1]
    for number in range(2, 8):
        publish(broadcast, number)
        assert told(await take(quick, 1)) == [number]
    before += await rest(slow)
    assert told(before) == [1, 2, 3, 4]  # in one piece, however many more there were
    assert told(await take(broadcast.listen(before[-1].id), 3)) == [5, 6, 7]


async def test_close_ends_listeners_after_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKLOG", 2)
    broadcast = Broadcast()
    waiting, nothing = await begin(broadcast)
    full, first = await begin(broadcast)
    publish(broadcast, 1)
    assert told([await nothing, await first]) == [1, 1]
    publish(broadcast, 2, 3)
    assert told(await take(waiting, 2)) == [2, 3]
    broadcast.close()
    assert await rest(waiting) == []
    assert told(await rest(full)) == [2, 3]
    publish(broadcast, 4)  # is for nobody


async def test_who_goes_away_is_forgotten() -> None:
    broadcast = Broadcast()
    listener = broadcast.listen()
    first = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    assert len(broadcast._listeners) == 1
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not broadcast._listeners
