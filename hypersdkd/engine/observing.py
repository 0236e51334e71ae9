"""The view on a queue that another daemon works: its parts built and wired, its start and its loops."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Final

import structlog

from hypersdkd.engine import logs
from hypersdkd.engine.claims import ClaimStore
from hypersdkd.engine.config import LoadedConfig, Settings
from hypersdkd.engine.config_in_force import ConfigInForce
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.index import Index
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.observed_queue import ObservedLayout, ObserversDoor, OwnersReadiness
from hypersdkd.engine.observing_service import ObserversAnnouncer, ObservingService
from hypersdkd.engine.plan import Places
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.preflight import judge
from hypersdkd.engine.queries import Queries
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.working import beat_interval, load_plugins

#: Seconds between two looks for directories that are not there yet: the owner makes them when it starts.
_LOOK_OUT: Final = 0.25


class Observing:
    """A queue that is watched; the counterpart of ``working.Working``."""

    def __init__(self, config: LoadedConfig, stack: AsyncExitStack) -> None:
        """Build the parts; the queue need not be there."""
        workflow = config.settings.workflow
        self._layout = ObservedLayout(workflow.base_dir)
        self._poll_interval = workflow.poll_interval
        self._log = structlog.get_logger()
        self._missing: list[str] = []
        self.parts = _parts(config, self._layout, stack)
        self.service = ObservingService(self.parts, self._layout)

    async def start(self) -> None:
        """Look at all that is there."""
        self._missing = await asyncio.to_thread(self._layout.missing)
        await self.parts.intake.start()
        self.parts.index.listener = self.parts.announcer
        self._log.info("observing: another daemon works this queue", missing=self._missing)

    def loops(self) -> Sequence[Coroutine[None, None, None]]:
        """What runs from now on, until it is cancelled."""
        return self.parts.intake.run(), self._look_out()

    def stalled(self, seconds: float) -> str:
        """Which loop has not finished a round for so long; empty when all have."""
        still = time.monotonic() - self.parts.intake.last_round
        return f"the intake has made no progress for {still:.0f} s" if still > seconds else ""

    def summary(self) -> str:
        """What there is to see, in a few words."""
        view = self.service.view()
        if view.missing_directories:
            return f"waiting for {view.missing_directories[0]}"
        return f"observing: {view.processing} running, {view.pending} queued"

    async def drain(self, seconds: float) -> None:
        """Nothing runs here that would need time."""
        self.service.draining = True

    def adapt(self, settings: Settings, plugins: Plugins) -> None:
        """Go on under ``settings`` and with ``plugins``."""
        self.parts.calls.replace(plugins)
        self.parts.readiness.settle_seconds = settings.workflow.settle_seconds
        self._poll_interval = settings.workflow.poll_interval
        self.parts.intake.pace(self._poll_interval, beat_interval(self._poll_interval))

    async def _look_out(self) -> None:
        """Look often for directories that are missing, and at once into those that come."""
        while True:
            before, self._missing = self._missing, await asyncio.to_thread(self._layout.missing)
            if self._missing != before:
                self._log.info("the queue's directories have changed", missing=self._missing)
            if self._missing or before:
                self.parts.intake.check()
            await asyncio.sleep(_LOOK_OUT if self._missing else self._poll_interval)


def _parts(config: LoadedConfig, layout: ObservedLayout, stack: AsyncExitStack) -> QueueParts:
    mode, workflow = config.mode, config.settings.workflow
    plugins = load_plugins(config)
    logs.warn_of(judge(config, plugins))
    calls = HookCalls(plugins)
    stack.callback(calls.close)
    index = Index()
    readiness = OwnersReadiness(mode, workflow.settle_seconds)
    beat = beat_interval(workflow.poll_interval)
    polling = {"poll_interval": workflow.poll_interval, "beat_interval": beat}
    intake = Intake(layout, index, readiness, **polling, on_change=lambda: None)
    stack.callback(intake.close)

    def taken(name: str) -> bool:
        return os.path.lexists(layout.processing / name) or index.where(name) is not None

    return QueueParts(
        config=ConfigInForce(config),
        mode=mode,
        mode_reason=config.mode_reason,
        layout=layout,
        claims=ClaimStore(layout.jobs),
        places=Places.of(layout.base, workflow.source_dirs, workflow.outputs, workflow.output_dirs),
        index=index,
        announcer=ObserversAnnouncer(index),
        queries=Queries(layout, index),
        readiness=readiness,
        intake=intake,
        calls=calls,
        door=ObserversDoor(layout, taken, readiness.not_for_us),
    )
