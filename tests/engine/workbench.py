"""The whole engine on a queue of its own, with workers in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.claims import Claim
from hypersdkd.engine.config import LoadedConfig, Settings
from hypersdkd.engine.config_in_force import ConfigInForce
from hypersdkd.engine.door import Door
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.index import Index
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.plan import Places
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.queries import Queries
from hypersdkd.engine.readiness import Readiness
from hypersdkd.engine.scheduler import Scheduler, record_end
from hypersdkd.engine.slots import Slots
from hypersdkd.engine.spool import Spool
from hypersdkd.engine.validation import validate
from hypersdkd.engine.workflow import Crew, WorkflowService
from hypersdkd.engine.workshop import WorkerPlugins, Workshop
from hypersdkd.host.inotify import Inotify
from hypersdkd.model.event import Event
from hypersdkd.model.problem import Problem
from tests.engine.fake_executor import FakeExecutor
from tests.engine.queue_state import make_queue

ENDED = (".report.json", ".error.json", ".meta.json")


class Workbench:
    """One daemon's engine. ``changed`` is set at each event and each end."""

    def __init__(self, layout: QueueLayout, executor: FakeExecutor, mode: str, slots: int) -> None:
        self.layout = layout
        self.executor = executor
        self.changed = asyncio.Event()
        self.events: list[tuple[str, Event]] = []
        self.index = Index(groups=mode == "disk")
        self.announcer = Announcer(self.index)
        self.plugins = Plugins.load()
        self.calls = HookCalls(self.plugins)
        self.disk_thread = ThreadPoolExecutor(1)
        self.inotify = Inotify(lambda: self.scheduler.reread())
        spool = Spool(layout, mode, lambda name: self.index.where(name) is not None)
        self._record_end = record_end(self.index, lambda kind, date: layout.base / kind / date, self.announcer.finished)
        self.shop = Workshop(
            mode=mode,
            spool=spool,
            places=Places.of(layout.base, [layout.base.parent], layout.base / "output", []),
            slots=Slots(slots),
            executor=executor.as_executor(),
            inotify=self.inotify,
            disk_thread=self.disk_thread,
            max_attempts=2,
            worker_plugins=WorkerPlugins.of(self.plugins, (), {}),
            validate=lambda text, syntax: validate(self.calls, text, syntax, mode=mode),
            on_claimed=self.announcer.claimed,
            on_started=self.announcer.started,
            on_event=self._saw,
            on_ended=self._ended,
        )
        rules = Readiness(mode, 0.0)
        self.scheduler = Scheduler(self.shop, self.index, rules, beat_interval=3600)
        self.intake = Intake(layout, self.index, rules, poll_interval=3600, on_change=self._look)
        settings = Settings()
        crew = Crew(
            config=ConfigInForce(LoadedConfig(settings, settings, None, (), mode, "a test")),
            mode=mode,
            mode_reason="a test",
            layout=layout,
            claims=spool.claims,
            places=self.shop.places,
            index=self.index,
            announcer=self.announcer,
            queries=Queries(layout, self.index),
            readiness=rules,
            intake=self.intake,
            scheduler=self.scheduler,
            shop=self.shop,
            calls=self.calls,
            door=Door(layout, spool.taken, rules.not_for_us),
        )
        self.service = WorkflowService(crew)

    def _saw(self, job: str, event: Event) -> None:
        self.events.append((job, event))
        self.changed.set()

    def _ended(self, claim: Claim, problem: Problem | None) -> None:
        self._record_end(claim, problem)
        self.changed.set()

    def _look(self) -> None:
        self.scheduler.wake()
        self.changed.set()

    def drop(self, name: str, content: bytes) -> None:
        """Move a file in."""
        draft = self.layout.scratch / "draft"
        draft.write_bytes(content)
        draft.rename(self.layout.drop / name)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that comes with a change."""
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def records(self) -> dict[str, dict[str, object]]:
        """Each record by its name."""
        found = [path for day in self.layout.dated() for path in day.iterdir() if path.name.endswith(ENDED)]
        return {path.name: json.loads(path.read_bytes()) for path in found}

    async def ended(self, name: str) -> dict[str, object]:
        """The record of the job whose file is ``name``, once it has ended."""
        await self.until(lambda: self.index.where(name) is not None and name not in self.index.active)
        await asyncio.sleep(0)  # its task ends after its record
        return next(record for file, record in self.records().items() if file.startswith(name + "."))


@asynccontextmanager
async def workbench(
    base: Path, executor: FakeExecutor | None = None, *, mode: str = "manifest", slots: int = 2, run: bool = True
) -> AsyncIterator[Workbench]:
    """A running engine; at its end its jobs are left as by a daemon that is told to stop at once."""
    bench = Workbench(make_queue(base), executor or FakeExecutor(), mode, slots)
    async with AsyncExitStack() as stack:
        stack.callback(bench.disk_thread.shutdown)
        stack.callback(bench.calls.close)
        stack.callback(bench.inotify.close)
        stack.callback(bench.intake.close)
        if bench.service.paused:
            bench.shop.slots.shut()
        await bench.intake.start()
        await bench.scheduler.recover()
        loops = [asyncio.create_task(bench.intake.run()), asyncio.create_task(bench.scheduler.run())] if run else []
        bench.scheduler.wake()
        try:
            yield bench
        finally:
            await asyncio.wait_for(bench.scheduler.drain(0), 10)
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)


def disk(base: Path, name: str = "disk.raw") -> Path:
    """A source that may be read."""
    path = base.parent / name
    path.write_bytes(b"disk")
    return path


def manifest(source: Path | str, **convert: object) -> bytes:
    """A manifest of one guest."""
    load = {"source_type": "raw", "source_path": str(source)}
    return json.dumps(
        {"version": "1.0", "pipeline": {"load": load, "convert": {"output_format": "qcow2", **convert}}}
    ).encode()


def batch(*sources: Path | str) -> bytes:
    """A manifest of many guests: vm0, vm1, …"""
    rows = [
        {"name": f"vm{number}", "pipeline": json.loads(manifest(source))["pipeline"]}
        for number, source in enumerate(sources)
    ]
    return json.dumps({"version": "1.0", "batch": True, "vms": rows}).encode()
