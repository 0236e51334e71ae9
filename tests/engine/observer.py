"""An observer on a queue that the test plays the owner of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import yaml

from hypersdkd.engine.config import LoadedConfig, load_config
from hypersdkd.engine.observing import Observing
from hypersdkd.model.change import Change
from hypersdkd.model.moment import today

PLACES = ("to_be_processed", "processing", "processed", "failed")


class Owner:
    """Moves files as hyper2kvm does: the file first, its record after it."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def make(self) -> None:
        for place in PLACES:
            (self.base / place).mkdir(parents=True)

    def drop(self, name: str, content: bytes = b"{}") -> None:
        (self.base / f".{name}").write_bytes(content)
        (self.base / f".{name}").rename(self.base / "to_be_processed" / name)

    def claim(self, name: str) -> None:
        (self.base / "to_be_processed" / name).rename(self.base / "processing" / name)

    def end(self, name: str, kind: str) -> Path:
        """The directory in which it is now."""
        day = self.base / kind / today()
        day.mkdir(exist_ok=True)
        (self.base / "processing" / name).rename(day / name)
        return day


class Observed:
    """A running observer and what it told."""

    def __init__(self, work: Observing) -> None:
        self.work = work
        self.service = work.service
        self.heard: list[Change] = []
        self._listener = work.service.listen()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that comes with a change, or right after one."""
        async with asyncio.timeout(20):
            while not condition():
                with contextlib.suppress(TimeoutError):
                    change = await asyncio.wait_for(self._listener.next(), 0.05)
                    assert change is not None
                    self.heard.append(change)

    def told(self, job: str) -> list[object]:
        """The states of a job in the order in which they were told."""
        return [change.data["status"] for change in self.heard if change.data.get("id") == job]


def loaded(base: Path, **sections: object) -> LoadedConfig:
    path = base.parent / "observer.yaml"
    workflow = {"base_dir": str(base), "source_dirs": [str(base.parent)], "max_workers": 3, "poll_interval": 2}
    settings = {"mode": "manifest", "executor": "observe", "workflow": workflow, "plugins": {"dirs": []}, **sections}
    path.write_text(yaml.safe_dump(settings))
    return load_config(path)


@asynccontextmanager
async def observer(base: Path, **sections: object) -> AsyncIterator[Observed]:
    """Start it and, at the end, stop it."""
    async with AsyncExitStack() as stack:
        work = Observing(loaded(base, **sections), stack)
        await work.start()
        loops = [asyncio.create_task(loop) for loop in work.loops()]
        try:
            yield Observed(work)
        finally:
            await work.drain(0)
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
