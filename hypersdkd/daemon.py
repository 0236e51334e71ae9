"""The daemon: builds the parts, wires them, says that it is ready, and drains when it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

import hypersdkd
from hypersdkd.engine import logs
from hypersdkd.engine.announcer import Announcer
from hypersdkd.engine.config import ConfigInvalidError, LoadedConfig, load_config
from hypersdkd.engine.config_read import describe
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
from hypersdkd.engine.workshop import Workshop
from hypersdkd.host.inotify import Inotify
from hypersdkd.host.systemd import Notifier, watchdog_interval
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.spec.types import Executor
from hypersdkd.web.app import make_app, serve

#: ``EX_CONFIG`` of sysexits.h.
EXIT_CONFIG: Final = 78

#: Seconds between two status texts for systemd.
_STATUS_INTERVAL: Final = 1.0

#: Seconds between two requests for more time while the daemon starts or drains.
_STEP: Final = 5.0

#: Open files that the daemon asks for: connections, watches, workers; systemd's soft limit is 1,024.
_OPEN_FILES: Final = 65_536


class Daemon:
    """One queue's daemon. :meth:`run` returns when it has drained."""

    def __init__(self, config: LoadedConfig) -> None:
        self._config = config
        self._log = structlog.get_logger()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._notifier = Notifier()
        self._layout = QueueLayout(config.settings.workflow.base_dir)
        self.addresses: tuple[str, ...] = ()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work the queue until :meth:`stop`. Raises ``ProblemError`` when it cannot start."""
        async with AsyncExitStack() as stack:
            stack.callback(self._notifier.close)
            self._layout.prepare()
            stack.callback(os.close, self._layout.lock())
            self._layout.clear_scratch()
            crew = self._build(stack)
            service = WorkflowService(crew)
            if service.paused:
                crew.shop.slots.shut()
            starting = asyncio.create_task(self._ask_for_time("starting"))
            stack.callback(starting.cancel)
            await crew.intake.start()
            crew.index.listener = crew.announcer
            await crew.scheduler.recover()
            api = self._config.settings.api
            server = await serve(make_app(service), listen=api.listen, socket_path=api.socket)
            stack.push_async_callback(server.stop)
            stack.callback(crew.announcer.broadcast.close)  # first: a listener's request would not end by itself
            self.addresses = server.addresses
            self._log.info("ready", addresses=server.addresses, mode=crew.mode, base_dir=str(self._layout.base))
            starting.cancel()
            self._notifier.ready(f"{crew.mode} mode, {', '.join(server.addresses) or 'no address'}")
            on_ready()
            await self._serve(crew, service)

    def stop(self) -> None:
        """Drain and end; called again, end running guests at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _serve(self, crew: Crew, service: WorkflowService) -> None:
        loops = [
            asyncio.create_task(crew.intake.run(), name="intake"),
            asyncio.create_task(crew.scheduler.run(), name="scheduler"),
            asyncio.create_task(self._tell_systemd(crew, service), name="systemd"),
        ]
        loops.append(asyncio.create_task(_until(self._stop), name="stop"))
        crew.scheduler.wake()
        ended, _running = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        self._notifier.stopping("draining")
        self._log.info("stopping")
        await self._drain(crew)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for task in ended:
            task.result()  # a loop that ended by itself ended in an error: say so

    async def _drain(self, crew: Crew) -> None:
        seconds = self._config.settings.workflow.drain_seconds
        drain = asyncio.create_task(crew.scheduler.drain(seconds))
        hurry = asyncio.create_task(self._hurry.wait())
        asking = asyncio.create_task(self._ask_for_time("draining"))
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            drain.cancel()
            await crew.scheduler.drain(0)
        hurry.cancel()
        asking.cancel()

    async def _ask_for_time(self, status: str) -> None:
        """While something long goes on, systemd shall not take it for a hang; until cancelled."""
        while True:
            self._notifier.extend_timeout(_STEP * 3)
            self._notifier.status(status)
            await asyncio.sleep(_STEP)

    async def _tell_systemd(self, crew: Crew, service: WorkflowService) -> None:
        """STATUS, and WATCHDOG only while intake and scheduler finish their rounds."""
        interval = watchdog_interval()
        while True:
            view = service.view()
            stalled = _stalled(crew, interval) if interval else ""
            text = f"{view.workers_running} running, {view.pending} queued" + (", paused" if view.paused else "")
            self._notifier.status(stalled or text)
            if interval and not stalled:
                self._notifier.watchdog()
            await asyncio.sleep(min(_STATUS_INTERVAL, interval / 2) if interval else _STATUS_INTERVAL)

    # -- building ---------------------------------------------------------------------------------

    def _build(self, stack: AsyncExitStack) -> Crew:
        settings, mode = self._config.settings, self._config.mode
        workflow = settings.workflow
        plugins = _load_plugins(self._config)
        for name in set(settings.plugins.disabled) - {record.name for record in plugins.records}:
            self._log.warning("plugins.disabled names a plugin that is not there", plugin=name)
        for record in plugins.records:
            if record.problem is not None:
                self._log.error("plugin not usable", plugin=record.name, error=record.problem.message)
        calls = HookCalls(plugins)
        stack.callback(calls.close)
        disk_thread = ThreadPoolExecutor(1, "spool")
        stack.callback(disk_thread.shutdown)
        index = Index()
        announcer = Announcer(index)
        readiness = Readiness(mode, workflow.settle_seconds)
        spool = Spool(self._layout, mode, lambda name: index.where(name) is not None)
        inotify = Inotify(lambda: scheduler.reread())  # the scheduler is made below
        stack.callback(inotify.close)
        shop = Workshop(
            mode=mode,
            spool=spool,
            places=Places.of(self._layout.base, workflow.source_dirs, workflow.outputs, workflow.output_dirs),
            slots=Slots(workflow.max_workers),
            executor=_executor(plugins, settings.executor),
            inotify=inotify,
            disk_thread=disk_thread,
            max_attempts=workflow.max_attempts,
            plugin_directories=tuple(map(str, settings.plugins.dirs)),
            worker_plugins=tuple(plugins.for_workers),
            validate=lambda text, syntax: validate(calls, text, syntax),
            on_started=announcer.started,
            on_event=announcer.event,
            on_ended=record_end(index, lambda kind, date: self._layout.base / kind / date),
        )
        beat = min(workflow.poll_interval, (watchdog_interval() or workflow.poll_interval) / 2)
        scheduler = Scheduler(shop, index, readiness, beat_interval=beat)
        intake = Intake(
            self._layout,
            index,
            readiness,
            poll_interval=workflow.poll_interval,
            beat_interval=beat,
            on_change=scheduler.wake,
        )
        stack.callback(intake.close)
        return Crew(
            mode=mode,
            mode_reason=self._config.mode_reason,
            index=index,
            announcer=announcer,
            queries=Queries(self._layout, index),
            intake=intake,
            scheduler=scheduler,
            shop=shop,
            plugins=plugins,
            calls=calls,
            door=Door(spool, readiness.not_for_us),
        )


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _load_plugins(config: LoadedConfig) -> Plugins:
    return Plugins.load(config.settings.plugins.dirs, config.settings.plugins.disabled)


def _executor(plugins: Plugins, name: str) -> Executor:
    for executor in plugins.executors:
        if executor.name == name:
            return executor
    known = ", ".join(executor.name for executor in plugins.executors) or "none"
    raise fail("config-invalid", f"no loaded plugin provides the executor {name!r}; there is: {known}", path="executor")


def _stalled(crew: Crew, interval: float) -> str:
    clock = time.monotonic()
    for name, last in (("intake", crew.intake.last_round), ("scheduler", crew.scheduler.last_round)):
        if clock - last > interval:
            return f"the {name} has made no progress for {clock - last:.0f} s"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """``hypersdkd``: 0 after a clean stop, 78 for a bad configuration, 1 for anything else."""
    parser = argparse.ArgumentParser(prog="hypersdkd", description="Converts virtual machines for KVM, as a service.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration file")
    parser.add_argument("--check-config", action="store_true", help="check the configuration and exit")
    parser.add_argument("--version", action="version", version=f"hypersdkd {hypersdkd.__version__}")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
    except ProblemError as error:
        problems = error.problems if isinstance(error, ConfigInvalidError) else [error.problem]
        sys.stderr.write(describe(problems) + "\n")
        return EXIT_CONFIG
    if options.check_config:
        try:
            _executor(_load_plugins(config), config.settings.executor)
        except ProblemError as error:
            sys.stderr.write(describe([error.problem]) + "\n")
            return EXIT_CONFIG
        sys.stdout.write(f"{config.path or 'defaults'}: fine; {config.mode} mode ({config.mode_reason})\n")
        return 0
    logs.set_up(config.settings.logging.level, config.settings.logging.format)
    for warning in config.warnings:
        structlog.get_logger().warning(warning.message, code=warning.code, path=warning.path, remedy=warning.remedy)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _OPEN_FILES), hard))
    try:
        asyncio.run(_run(config))
    except ProblemError as error:
        structlog.get_logger().error(error.problem.message, code=error.problem.code, remedy=error.problem.remedy)
        return EXIT_CONFIG if error.problem.code == "config-invalid" else 1
    finally:
        logs.close()
    return 0


async def _run(config: LoadedConfig) -> None:
    daemon = Daemon(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    loop.add_signal_handler(
        signal.SIGHUP, structlog.get_logger().warning, "reload is not available yet; restart to apply changes"
    )
    await daemon.run()
