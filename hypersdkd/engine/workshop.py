"""The workshop: what the work of every job shares."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor as ThreadExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hypersdkd.engine.claims import Claim
from hypersdkd.engine.index import ActiveJob
from hypersdkd.engine.plan import Places
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.slots import Slots
from hypersdkd.engine.spool import Spool
from hypersdkd.host.inotify import Inotify
from hypersdkd.model.event import Event
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import Validation
from hypersdkd.spec.types import Executor

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class WorkerPlugins:
    """What workers load: the plugins ``names``, of which drop-ins lie in ``directories``, with their ``settings``."""

    directories: tuple[str, ...]
    names: tuple[str, ...]
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, plugins: Plugins, directories: Sequence[Path], settings: Mapping[str, Mapping[str, object]]
    ) -> WorkerPlugins:
        """Those that declare anything for workers."""
        names = tuple(plugins.for_workers)
        return cls(tuple(map(str, directories)), names, {name: settings[name] for name in names if name in settings})


@dataclass(slots=True)
class Workshop:
    """What every job's work shares. ``disk_thread`` has one thread: the spool's moves never overlap.

    A reload replaces ``executor``, ``max_attempts``, ``worker_plugins`` and ``networks``; guests that run keep those
    they have.
    """

    mode: str
    spool: Spool
    places: Places
    slots: Slots
    executor: Executor
    inotify: Inotify
    disk_thread: ThreadExecutor
    max_attempts: int
    worker_plugins: WorkerPlugins
    validate: Callable[[bytes, str], Awaitable[Validation]]
    on_claimed: Callable[[str, float], None]
    on_started: Callable[[ActiveJob], None]
    on_event: Callable[[str, Event], None]
    on_ended: Callable[[Claim, Problem | None], None]
    networks: Mapping[str, str] = field(default_factory=dict)
    outputs_in_use: dict[Path, str] = field(default_factory=dict)

    async def in_disk_thread(self, call: Callable[[], _T]) -> _T:
        """Run a blocking move of the spool."""
        return await asyncio.get_running_loop().run_in_executor(self.disk_thread, call)
