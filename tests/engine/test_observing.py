"""An observer's life: it waits for a queue, sees it come, and leaves nothing in it that was not submitted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from hypersdkd.engine.observing import Observing
from tests.engine.observer import Owner, loaded, observer


async def test_it_waits_for_a_queue_and_shows_it_within_a_second(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "base")
    async with observer(owner.base) as seen:
        assert seen.work.summary() == f"waiting for {owner.base / 'to_be_processed'}"
        status = await seen.service.status()
        assert (status["running"], len(status["missing_directories"])) == (False, 4)
        assert not owner.base.exists(), "it is not the observer's to make"
        owner.make()
        owner.drop("a.json")
        clock = asyncio.get_running_loop().time()
        await seen.until(seen.work.parts.index.queue_depth)
        assert asyncio.get_running_loop().time() - clock < 1
        owner.claim("a.json")  # and from now on by events
        await seen.until(lambda: seen.work.summary() == "observing: 1 running, 0 queued")
        assert (await seen.service.status())["running"] is True


async def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "base")
    owner.make()
    before = sorted(tmp_path.rglob("*"))
    async with observer(owner.base):
        pass
    assert sorted({*tmp_path.rglob("*")} - {tmp_path / "observer.yaml"}) == before


async def test_a_stalled_intake_is_told(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        work = Observing(loaded(tmp_path / "base"), stack)
        await work.start()
        assert work.stalled(60) == ""
        assert work.stalled(-1).startswith("the intake has made no progress for")
