"""The work on one queue: its parts built and wired, its start, its loops and its end."""

from __future__ import annotations

import os
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as thread_pool
from contextlib import AsyncExitStack
from typing import Final

import structlog

from hypersdkd.engine import logs
from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.config import LoadedConfig, Settings
from hypersdkd.engine.config_in_force import ConfigInForce
from hypersdkd.engine.door import Door
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.index import Index
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.plan import Places
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.preflight import find_executor, judge
from hypersdkd.engine.queries import Queries
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.readiness import Readiness
from hypersdkd.engine.retention import Retention
from hypersdkd.engine.scheduler import Scheduler, record_end
from hypersdkd.engine.slots import Slots
from hypersdkd.engine.spool import Spool
from hypersdkd.engine.validation import validate
from hypersdkd.engine.workflow import Crew, WorkflowService
from hypersdkd.engine.workshop import WorkerPlugins, Workshop
from hypersdkd.host.inotify import Inotify
from hypersdkd.host.loop_watch import place_of_thread
from hypersdkd.host.systemd import watchdog_interval

#: The name of the thread in which files are moved.
DISK_THREAD: Final = "spool"


class Working:
    """A queue that this daemon works, alone. Made under the queue's lock, which ``stack`` gives back."""

    def __init__(self, config: LoadedConfig, stack: AsyncExitStack) -> None:
        """Build the parts. Raises ``ProblemError`` when the queue cannot be worked or the executor is not there."""
        plugins = load_plugins(config)
        logs.warn_of(judge(config, plugins))
        layout = QueueLayout(config.settings.workflow.base_dir)
        layout.prepare()
        stack.callback(os.close, layout.lock())
        layout.clear_scratch()
        self._crew = _crew(config, plugins, layout, stack)
        self._retention = Retention(self._crew.shop, config.settings.retention)
        self.service = WorkflowService(self._crew)

    @property
    def parts(self) -> QueueParts:
        """What tells of the queue."""
        return self._crew

    async def start(self) -> None:
        """Look at all that is there, and take up what a former daemon left."""
        if self.service.paused:
            self._crew.shop.slots.shut()
        await self._crew.intake.start()
        self._crew.index.listener = self._crew.announcer
        await self._crew.scheduler.recover()

    def loops(self) -> Sequence[Coroutine[None, None, None]]:
        """What runs from now on, until it is cancelled."""
        self._crew.scheduler.wake()
        return self._crew.intake.run(), self._crew.scheduler.run(), self._retention.run()

    def stalled(self, seconds: float) -> str:
        """Which loop has not finished a round for so long; empty when all have."""
        clock = time.monotonic()
        for name, last, thread in (
            ("intake", self._crew.intake.last_round, "asyncio"),
            ("scheduler", self._crew.scheduler.last_round, DISK_THREAD),
        ):
            if clock - last > seconds:
                place = place_of_thread(thread, idle_in=thread_pool.__file__)
                where = f": a thread is in {place}" if place else ""
                return f"the {name} has made no progress for {clock - last:.0f} s{where}"
        return ""

    def summary(self) -> str:
        """What it does, in a few words."""
        view = self.service.view()
        more = [word for word, holds in (("paused", view.paused), ("draining", view.draining)) if holds]
        busy = ", ".join([f"{view.workers_running} running", f"{view.pending} queued", *more])
        failed = self._crew.index.last_failed
        told = self._crew.scheduler.trouble(), f"the last job failed: {failed}" if failed else ""
        return "; ".join([busy, *filter(None, told)])

    async def drain(self, seconds: float) -> None:
        """Start nothing more; running guests get ``seconds`` to finish."""
        await self._crew.scheduler.drain(seconds)

    def adapt(self, settings: Settings, plugins: Plugins) -> None:
        """Go on under ``settings`` and with ``plugins``. Guests that run keep what they have."""
        crew, shop, workflow = self._crew, self._crew.shop, settings.workflow
        crew.calls.replace(plugins)
        shop.worker_plugins = WorkerPlugins.of(plugins, settings.plugins.dirs, settings.plugins.settings)
        provided = [executor for executor in plugins.executors if executor.name == shop.executor.name]
        if provided:
            shop.executor = provided[0]
        else:
            structlog.get_logger().warning("the executor in use stays until a restart", executor=shop.executor.name)
        shop.max_attempts = workflow.max_attempts
        shop.networks = settings.maps.networks
        crew.readiness.settle_seconds = workflow.settle_seconds
        beat = beat_interval(workflow.poll_interval)
        crew.intake.pace(workflow.poll_interval, beat)
        crew.scheduler.pace(beat)
        shop.slots.resize(workflow.max_workers)
        self._retention.keep(settings.retention)


def load_plugins(config: LoadedConfig, former: Plugins | None = None) -> Plugins:
    """The plugins that the configuration asks for. See :meth:`Plugins.load`."""
    settings = config.settings.plugins
    return Plugins.load(settings.dirs, settings.disabled, former=former, settings=settings.settings)


def _crew(config: LoadedConfig, plugins: Plugins, layout: QueueLayout, stack: AsyncExitStack) -> Crew:
    settings, mode = config.settings, config.mode
    workflow = settings.workflow
    calls = HookCalls(plugins)
    stack.callback(calls.close)
    disk_thread = ThreadPoolExecutor(1, DISK_THREAD)
    stack.callback(disk_thread.shutdown)
    index = Index(groups=mode == "disk")
    announcer = Announcer(index)
    readiness = Readiness(mode, workflow.settle_seconds)
    spool = Spool(layout, mode, lambda name: index.where(name) is not None)
    places = Places.of(layout.base, workflow.source_dirs, workflow.outputs, workflow.output_dirs)
    inotify = Inotify(lambda: scheduler.reread())  # the scheduler is made below
    stack.callback(inotify.close)
    shop = Workshop(
        mode=mode,
        spool=spool,
        places=places,
        slots=Slots(workflow.max_workers),
        executor=find_executor(plugins, settings.executor),
        inotify=inotify,
        disk_thread=disk_thread,
        max_attempts=workflow.max_attempts,
        worker_plugins=WorkerPlugins.of(plugins, settings.plugins.dirs, settings.plugins.settings),
        networks=settings.maps.networks,
        validate=lambda text, syntax: validate(calls, text, syntax, mode=mode),
        on_claimed=announcer.claimed,
        on_started=announcer.started,
        on_event=announcer.event,
        on_ended=record_end(index, lambda kind, date: layout.base / kind / date, announcer.finished),
    )
    beat = beat_interval(workflow.poll_interval)
    scheduler = Scheduler(shop, index, readiness, beat_interval=beat)
    polling = {"poll_interval": workflow.poll_interval, "beat_interval": beat}
    intake = Intake(layout, index, readiness, **polling, on_change=scheduler.wake)
    stack.callback(intake.close)
    return Crew(
        config=ConfigInForce(config),
        mode=mode,
        mode_reason=config.mode_reason,
        layout=layout,
        claims=spool.claims,
        places=places,
        index=index,
        announcer=announcer,
        queries=Queries(layout, index),
        readiness=readiness,
        intake=intake,
        calls=calls,
        door=Door(layout, spool.taken, readiness.not_for_us),
        scheduler=scheduler,
        shop=shop,
    )


def beat_interval(poll_interval: float) -> float:
    """Seconds between two signs of life of a loop: half of systemd's patience at most."""
    return min(poll_interval, (watchdog_interval() or poll_interval) / 2)
