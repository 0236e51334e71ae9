"""Who listens hears every change in order, or is told that some were missed; nobody waits for a slow listener."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine import broadcast as module
from hypersdkd.engine.broadcast import Broadcast, Listener
from hypersdkd.model.change import Change


def publish(broadcast: Broadcast, *numbers: int) -> None:
    for number in numbers:
        broadcast.publish("job", {"number": number})


def told(changes: list[Change]) -> list[object]:
    """The number of each change, ``reset`` for one that is none."""
    return [change.data["number"] if change.kind == "job" else change.kind for change in changes]


async def take(listener: Listener, count: int) -> list[Change]:
    async with asyncio.timeout(20):
        changes = [await listener.next() for _ in range(count)]
    assert None not in changes
    return [change for change in changes if change is not None]


async def rest(listener: Listener) -> list[Change]:
    """Everything until the listener is ended."""
    changes = []
    async with asyncio.timeout(20):
        while (change := await listener.next()) is not None:
            changes.append(change)
    return changes


async def test_a_first_listener_is_told_to_look_and_then_hears_all() -> None:
    broadcast = Broadcast()
    publish(broadcast, 1)
    with broadcast.listen() as listener:
        publish(broadcast, 2, 3)
        assert told(await take(listener, 3)) == ["reset", 2, 3]


async def test_one_that_comes_back_hears_what_it_missed() -> None:
    broadcast = Broadcast()
    with broadcast.listen() as listener:
        publish(broadcast, 1, 2)
        last = (await take(listener, 2))[-1].id
    publish(broadcast, 3)
    with broadcast.listen(last) as listener:
        publish(broadcast, 4)
        assert told(await take(listener, 3)) == [2, 3, 4]


async def test_the_id_of_a_reset_is_a_place_to_come_back_to() -> None:
    broadcast = Broadcast()
    publish(broadcast, 1)
    with broadcast.listen() as listener:
        (reset,) = await take(listener, 1)
    publish(broadcast, 2)
    with broadcast.listen(reset.id) as listener:
        assert told(await take(listener, 1)) == [2]


async def test_what_is_forgotten_is_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 3)
    broadcast = Broadcast()
    with broadcast.listen() as listener:
        publish(broadcast, 0)
        last = (await take(listener, 2))[-1].id
    publish(broadcast, *range(1, 5))
    with broadcast.listen(last) as listener:
        assert told(await take(listener, 1)) == ["reset"]


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-f]{8}-\d{1,5000}", fullmatch=True))
def test_any_id_is_a_reset_or_a_place(last_id: str) -> None:
    broadcast = Broadcast()
    publish(broadcast, 1)
    assert [change.kind for change in broadcast._missed(last_id)] == ["reset"]


async def test_a_slow_listener_is_cut_off_and_comes_back_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKLOG", 3)
    broadcast = Broadcast()
    with broadcast.listen() as slow, broadcast.listen() as quick:
        await take(slow, 1)
        await take(quick, 1)
        heard = []
        for number in range(6):
            publish(broadcast, number)
            heard += await take(quick, 1)
        assert told(heard) == list(range(6)), "one that keeps up hears all"
        kept = await rest(slow)
        assert told(kept) == [0, 1, 2]
    with broadcast.listen(kept[-1].id) as back:
        assert told(await take(back, 3)) == [3, 4, 5]


async def test_waiting_can_be_given_up_and_taken_up() -> None:
    broadcast = Broadcast()
    with broadcast.listen() as listener:
        await take(listener, 1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(listener.next(), 0.001)
        publish(broadcast, 1)
        assert told(await take(listener, 1)) == [1]


async def test_the_end_ends_those_that_listen_and_those_to_come() -> None:
    broadcast = Broadcast()
    with broadcast.listen() as listener:
        publish(broadcast, 1)
        broadcast.close()
        assert told(await rest(listener)) == ["reset", 1]
    with broadcast.listen() as late:
        assert told(await rest(late)) == ["reset"]


async def test_who_left_is_forgotten() -> None:
    broadcast = Broadcast()
    with broadcast.listen():
        assert len(broadcast._listeners) == 1
    assert not broadcast._listeners
