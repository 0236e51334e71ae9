"""The daemon: takes its configuration, begins the work, serves, says that it is ready, and drains when told to stop."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

import hypersdkd
from hypersdkd.engine import logs
from hypersdkd.engine.config import ConfigInvalidError, LoadedConfig, load_config
from hypersdkd.engine.config_read import describe
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.observing import Observing
from hypersdkd.engine.observing_service import OBSERVE
from hypersdkd.engine.plugin_endpoints import EndpointCalls
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.preflight import judge
from hypersdkd.engine.reload import Reload
from hypersdkd.engine.subscriptions import Subscriptions
from hypersdkd.engine.vital_signs import VitalSigns
from hypersdkd.engine.working import Working, load_plugins
from hypersdkd.host.identity import acting_as, name_of, service_user
from hypersdkd.host.reload_answer import Answer, answer, ask
from hypersdkd.host.secret_file import is_credential, write_secret
from hypersdkd.host.systemd import Notifier, take_sockets
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.role import Role
from hypersdkd.web.admission import AccessFiles, Admission
from hypersdkd.web.app import Server, make_app, serve
from hypersdkd.web.tokens import make_token

#: ``EX_CONFIG`` of sysexits.h.
EXIT_CONFIG: Final = 78

#: Seconds between two requests for more time while the daemon starts or drains.
_STEP: Final = 5.0

#: Open files that the daemon asks for: connections, watches, workers; systemd's soft limit is 1,024.
_OPEN_FILES: Final = 65_536


class Daemon:
    """One queue's daemon. :meth:`run` returns when it has drained."""

    def __init__(
        self,
        config: LoadedConfig,
        read: Callable[[], LoadedConfig] | None = None,
        inherited: Sequence[socket.socket] = (),
    ) -> None:
        """``read`` finds and judges the configuration again, for a reload; by default in the same file. The API is
        served on ``inherited`` sockets, where there are any, in place of those of the configuration."""
        self._config = config
        self._inherited = inherited
        self._read = read or (lambda: load_config(config.path))
        self._log = structlog.get_logger()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reload = asyncio.Event()
        self._ready = False  # READY=1 was said, and no RELOADING=1 since
        self._notifier = Notifier()
        self._admission = Admission(_access_files(config))
        self.addresses: tuple[str, ...] = ()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work the queue, or show it, until :meth:`stop`. Raises ``ProblemError`` when it cannot start."""
        async with AsyncExitStack() as stack:
            stack.callback(self._notifier.close)
            problems, warnings = self._admission.read()
            if problems:
                raise ConfigInvalidError(problems)
            logs.warn_of(warnings)
            work = _begin(self._config, stack)
            parts = work.parts
            starting = asyncio.create_task(self._ask_for_time("starting"))
            stack.callback(starting.cancel)
            subscriptions = Subscriptions(parts.calls, parts.announcer.broadcast)
            stack.push_async_callback(subscriptions.close)
            subscriptions.follow(parts.calls.plugins.subscribers)
            await work.start()
            plugins = EndpointCalls(parts, work.service.view)
            app = make_app(work.service, plugins, admission=self._admission)
            server = await self._serve_api(app)
            stack.push_async_callback(server.stop)
            stack.callback(parts.announcer.broadcast.close)  # first: a listener's request would not end by itself
            self.addresses = server.addresses
            self._log.info("ready", addresses=server.addresses, mode=parts.mode, base_dir=str(parts.layout.base))
            starting.cancel()
            self._notifier.ready(f"{parts.mode} mode, {', '.join(server.addresses) or 'no address'}")
            self._ready = True
            on_ready()
            await self._serve(work, subscriptions)

    async def _serve_api(self, app: web.Application) -> Server:
        api = self._config.settings.api
        if not self._inherited:
            return await serve(app, listen=api.listen, socket_path=api.socket)
        server = await serve(app, inherited=self._inherited)
        asked = [
            *(f"//{text}" for text in api.listen if "listen" in api.model_fields_set),
            *([f"unix:{api.socket}"] if api.socket else []),
        ]
        for text in asked:
            if not any(address.endswith(text.replace("localhost", "127.0.0.1")) for address in server.addresses):
                self._log.warning("not listened on: systemd made the sockets, see hypersdkd.socket", address=text)
        return server

    def stop(self) -> None:
        """Drain and end; called again, end running guests at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def reload(self) -> None:
        """Read the configuration and the plugins again. Asked for while it does so, it does it once more."""
        if self._stop.is_set():
            return
        if self._ready:
            self._notifier.reloading()  # at once, or whoever waits for the reload takes it for done
            self._ready = False
        self._reload.set()

    async def _serve(self, work: Working | Observing, subscriptions: Subscriptions) -> None:
        signs = VitalSigns(self._notifier, work.stalled, lambda: _status(work))
        loops = [
            *(asyncio.create_task(loop) for loop in work.loops()),
            asyncio.create_task(signs.run(), name="systemd"),
            asyncio.create_task(_until(self._stop), name="stop"),
            reloading := asyncio.create_task(self._reload_when_asked(work, subscriptions), name="reload"),
        ]
        ended, _running = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        reloading.cancel()
        self._notifier.stopping("draining")
        self._log.info("stopping")
        await self._drain(work)
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for task in ended:
            task.result()  # a loop that ended by itself ended in an error: say so

    async def _reload_when_asked(self, work: Working | Observing, subscriptions: Subscriptions) -> None:
        def take_over(plugins: Plugins) -> None:
            subscriptions.follow(plugins.subscribers)
            problems, warnings = self._admission.read()  # those of the paths in force, which may be no more
            logs.warn_of([*problems, *warnings])

        reload = Reload(work, self._judged, take_over)
        while True:
            await self._reload.wait()
            if self._ready:  # it was asked for during the start
                self._notifier.reloading()
                self._ready = False
            asking = asyncio.create_task(self._ask_for_time("reloading"))
            try:
                while self._reload.is_set():
                    self._reload.clear()
                    await reload()
            finally:
                asking.cancel()
            self._notifier.ready(_status(work))
            self._ready = True
            config = work.parts.config
            wrong = describe(config.problems).splitlines() if config.problems else ()
            answer(os.environ, Answer(wrong, config.summary()))

    def _judged(self) -> LoadedConfig:
        """The configuration as a start would take it now, tokens and certificate too. Raises ``ProblemError``."""
        loaded = self._read()
        _judge_access(_access_files(loaded))
        return loaded

    async def _drain(self, work: Working | Observing) -> None:
        seconds = work.parts.config.settings.workflow.drain_seconds
        drain = asyncio.create_task(work.drain(seconds))
        hurry = asyncio.create_task(self._hurry.wait())
        asking = asyncio.create_task(self._ask_for_time("draining"))
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not drain.done():
            drain.cancel()
            await work.drain(0)
        hurry.cancel()
        asking.cancel()

    async def _ask_for_time(self, status: str) -> None:
        """While something long goes on, systemd shall not take it for a hang; until cancelled."""
        while True:
            self._notifier.extend_timeout(_STEP * 3)
            self._notifier.status(status)
            await asyncio.sleep(_STEP)


def _begin(config: LoadedConfig, stack: AsyncExitStack) -> Working | Observing:
    return Observing(config, stack) if config.settings.executor == OBSERVE else Working(config, stack)


def _status(work: Working | Observing) -> str:
    return "; ".join(filter(None, (work.summary(), work.parts.config.summary())))


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def build_parser() -> argparse.ArgumentParser:
    """The whole command line of ``hypersdkd``; its man page and completions are made of this as well."""
    parser = argparse.ArgumentParser(prog="hypersdkd", description="Converts virtual machines for KVM, as a service.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration file")
    parser.add_argument("--check-config", action="store_true", help="check the configuration and exit")
    parser.add_argument("--reload", action="store_true", help="as ExecReload=: have the daemon reload, and wait for it")
    parser.add_argument(
        "--make-token",
        nargs=3,
        metavar=("ROLE", "NAME", "FILE"),
        help="write a new token (ROLE: read or operate) to FILE, print its line for api.tokens_file, and exit",
    )
    parser.add_argument("--version", action="version", version=f"hypersdkd {hypersdkd.__version__}")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """``hypersdkd``: 0 after a clean stop, 78 for a bad configuration, 1 for anything else."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.make_token:
        return _make_token(parser, *options.make_token)
    if options.reload:
        return _ask_to_reload(parser)
    try:
        config = load_config(options.config)
        if options.check_config:
            _check(config)
            return 0
    except ProblemError as error:
        sys.stderr.write(describe(_all_of(error)) + "\n")
        return EXIT_CONFIG
    logs.set_up(config.settings.logging.level, config.settings.logging.format)
    logs.warn_of(config.warnings)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _OPEN_FILES), hard))
    faulthandler.enable(2)  # what each thread was at goes to the log when systemd's watchdog ends the process
    try:
        inherited = take_sockets("api")
        asyncio.run(_run(Daemon(config, lambda: load_config(options.config), inherited)))
    except ProblemError as error:
        for problem in _all_of(error):
            structlog.get_logger().error(problem.message, code=problem.code, path=problem.path, remedy=problem.remedy)
        return EXIT_CONFIG if error.problem.code == "config-invalid" else 1
    finally:
        logs.close()
    return 0


def _all_of(error: ProblemError) -> Sequence[Problem]:
    return error.problems if isinstance(error, ConfigInvalidError) else [error.problem]


def _access_files(config: LoadedConfig) -> AccessFiles:
    api = config.settings.api
    return AccessFiles(api.tokens_file, api.tls.cert, api.tls.key, api.names)


def _judge_access(files: AccessFiles) -> Sequence[Problem]:
    """Read tokens and certificate for nothing but their warnings. Raises ``ConfigInvalidError``."""
    problems, warnings = Admission(files).read()
    if problems:
        raise ConfigInvalidError(problems)
    return warnings


def _check(config: LoadedConfig) -> None:
    """Judge the configuration as the start would, with the service's rights, and say that it is fine. Raises
    ``ProblemError``."""
    files, plugins = _access_files(config), load_plugins(config)
    paths = [path for path in (files.tokens_file, files.cert, files.key) if path]
    secrets = [path for path in (files.tokens_file, files.key) if path and not is_credential(path)]
    looks: list[Callable[[], Sequence[Problem]]] = [lambda: judge(config, plugins)]
    if "CREDENTIALS_DIRECTORY" not in os.environ and any(map(is_credential, paths)):
        sys.stderr.write("tokens and certificate are not checked: only the service itself sees its credentials\n")
    else:
        looks.append(lambda: _judge_access(files))
    user = service_user(secrets, QueueLayout(config.settings.workflow.base_dir).private)
    if user != os.geteuid():
        sys.stderr.write(f"files and directories are checked with the rights of {name_of(user)}\n")
    warnings, problems = list(config.warnings), list[Problem]()
    with acting_as(user):
        for look in looks:
            try:
                warnings += look()
            except ProblemError as error:
                problems += _all_of(error)
    if warnings:
        sys.stderr.write(f"{describe(warnings)}\n")
    if problems:
        raise ConfigInvalidError(problems)
    chosen = "executor" in config.written.model_fields_set or config.settings.executor != "local"
    executor = f"executor {config.settings.executor}{'' if chosen else ' (in the units that come along: systemd)'}"
    fine = f"fine; {config.mode} mode ({config.mode_reason}), {executor}"
    sys.stdout.write(f"{config.path or 'defaults'}: {fine}\n")


def _ask_to_reload(parser: argparse.ArgumentParser) -> int:
    """Returns when the configuration is in force, or is known not to be: 78, and what is wrong on standard error."""
    daemon, directory = os.environ.get("MAINPID", ""), os.environ.get("RUNTIME_DIRECTORY", "")
    if not daemon.isdigit() or not directory:
        parser.error("--reload is for ExecReload= of a unit with RuntimeDirectory=; elsewhere send the daemon SIGHUP")
    try:
        given = ask(int(daemon), Path(directory))
    except OSError as error:
        sys.stderr.write(f"not reloaded: {error.strerror or error}\n")
        return 1
    sys.stderr.writelines(f"{line}\n" for line in (given.problems or filter(None, [given.note])))
    return EXIT_CONFIG if given.problems else 0


def _make_token(parser: argparse.ArgumentParser, role: str, name: str, file: str) -> int:
    """A token of ``role``, which ``name`` stands for, in a new ``file``; its line on standard output."""
    if role not in (Role.READ, Role.OPERATE):
        parser.error("a token's role is read or operate")
    try:
        secret, line = make_token(Role(role), name)
        write_secret(Path(file), f"{secret}\n".encode())
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        sys.stderr.write(f"{file}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{line}\n")
    return 0


async def _run(daemon: Daemon) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    await daemon.run()
