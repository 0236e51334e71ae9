"""Slots are fair, can be paused and resized, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.slots import Slots


async def settled(*tasks: asyncio.Task[None]) -> list[bool]:
    """Which of the tasks are done once nothing moves any more."""
    for _ in range(4):
        await asyncio.sleep(0)
    return [task.done() and not task.cancelled() for task in tasks]


def asking(slots: Slots, count: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(slots.acquire()) for _ in range(count)]


async def test_first_come_first_served() -> None:
    slots = Slots(2)
    tasks = asking(slots, 4)
    assert await settled(*tasks) == [True, True, False, False]
    assert (slots.in_use, slots.idle) == (2, -2)
    slots.release()
    assert await settled(*tasks) == [True, True, True, False]
    slots.release()
    assert await settled(*tasks) == [True] * 4


async def test_one_that_gives_up_leaves_its_place_to_the_next() -> None:
    slots = Slots(1)
    first, second, third = asking(slots, 3)
    await settled(first)
    second.cancel()
    await settled(second)
    slots.release()
    assert await settled(first, second, third) == [True, False, True]
    assert slots.in_use == 1


async def test_a_slot_granted_to_one_that_gives_up_in_that_moment_is_given_back() -> None:
    slots = Slots(1)
    first, second = asking(slots, 2)
    await settled(first)
    slots.release()  # grants it to the second, which is cancelled before it runs
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (slots.in_use, slots.idle) == (0, 1)


async def test_paused_slots_are_not_granted_and_not_idle() -> None:
    slots = Slots(2)
    slots.shut()
    (task,) = asking(slots, 1)
    assert await settled(task) == [False]
    assert slots.idle == 0
    slots.reopen()
    assert await settled(task) == [True]


async def test_a_changed_size_holds_for_those_to_come() -> None:
    slots = Slots(1)
    tasks = asking(slots, 3)
    slots.resize(2)
    assert await settled(*tasks) == [True, True, False]
    slots.resize(1)
    slots.release()
    assert await settled(*tasks) == [True, True, False]
    slots.release()
    assert await settled(*tasks) == [True, True, True]
    assert slots.capacity == 1


async def test_a_job_that_is_planned_and_a_guest_that_runs_already_count() -> None:
    slots = Slots(1)
    slots.expect()
    assert slots.idle == 0
    slots.met()
    assert slots.idle == 1
    slots.take()
    slots.take()
    assert slots.idle == -1


@given(st.lists(st.sampled_from(["acquire", "cancel", "release", "shut", "reopen", "grow", "shrink"]), max_size=30))
def test_never_too_many_and_none_is_lost(moves: list[str]) -> None:
    async def play() -> None:
        slots, held = Slots(2), 0
        waiting: list[asyncio.Task[None]] = []
        for move in moves:
            if move == "acquire":
                waiting += asking(slots, 1)
            elif move == "cancel" and waiting:
                waiting[-1].cancel()
            elif move == "release" and held:
                slots.release()
                held -= 1
            elif move in {"shut", "reopen"}:
                getattr(slots, move)()
            elif move in {"grow", "shrink"}:
                slots.resize(max(1, slots.capacity + (1 if move == "grow" else -1)))
            before = held
            done = await settled(*waiting)
            held += sum(done)
            waiting = [task for task, is_done in zip(waiting, done, strict=True) if not is_done and not task.done()]
            assert slots.in_use == held
            assert held <= max(slots.capacity, before)
        slots.reopen()
        slots.resize(99)
        assert all(await settled(*waiting)), "each that waits is served in the end"

    asyncio.run(play())
