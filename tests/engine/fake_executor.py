"""An executor in memory: its workers do what the test says, when it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypersdkd.engine.journal import JournalWriter
from hypersdkd.model.event import EventType
from hypersdkd.spec.ports import WorkerEnd
from hypersdkd.spec.types import Executor, GuestRun

#: What a worker does in its guest's directory: its exit status or whole end, or None to run until it is killed.
Work = Callable[[Path], int | WorkerEnd | None]


def write(directory: Path, *types: EventType, **data: object) -> None:
    """Events of a worker."""
    with JournalWriter(directory, "web01") as journal:
        for type_ in types:
            journal.append(type_, "convert", data if type_ is types[-1] else {})


def finish(directory: Path) -> int:
    """A worker that converts its guest."""
    write(directory, EventType.STARTED, EventType.STAGE_STARTED, EventType.FINISHED)
    return 0


def crash(directory: Path) -> int:
    """A worker that is killed in the midst of it."""
    write(directory, EventType.STARTED, EventType.STAGE_STARTED)
    return -9


def hang(directory: Path) -> None:
    """A worker that runs until it is killed."""
    write(directory, EventType.STARTED, EventType.STAGE_STARTED)


class FakeWorker:
    """Runs until it has a status."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int | WorkerEnd | None] = asyncio.get_running_loop().create_future()
        self.kills = 0
        self.trouble = ""

    async def wait(self) -> WorkerEnd:
        end = await asyncio.shield(self.status)
        return end if isinstance(end, WorkerEnd) else WorkerEnd(end)

    async def kill(self) -> None:
        self.kills += 1
        if not self.status.done():
            self.status.set_result(-9)


@dataclass
class FakeExecutor:
    """Does the ``works`` in turn, then the last again and again. ``adopted`` is what a former daemon left."""

    works: list[Work] = field(default_factory=lambda: [finish])
    adopted: list[FakeWorker | None] = field(default_factory=list)
    outlives: bool = False
    workers: list[FakeWorker] = field(default_factory=list)
    runs: list[GuestRun] = field(default_factory=list)
    gate: asyncio.Event | None = None
    starting: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, run: GuestRun) -> FakeWorker:
        self.runs.append(run)
        self.starting.set()
        if self.gate is not None:
            await self.gate.wait()
        work = self.works.pop(0) if len(self.works) > 1 else self.works[0]
        worker = FakeWorker()
        self.workers.append(worker)
        status = work(run.directory)
        if status is not None:
            worker.status.set_result(status)
        self.started.set()
        return worker

    async def adopt(self, _run: GuestRun) -> FakeWorker | None:
        return self.adopted.pop(0) if self.adopted else None

    def as_executor(self) -> Executor:
        return Executor("fake", self.start, self.adopt, self.outlives)
