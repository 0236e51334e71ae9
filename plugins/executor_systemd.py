"""Executor ``systemd``: each worker runs in a unit of its own, with its own sandbox, limits and cgroup.

The service manager starts one for each connection to its socket, so the daemon needs no right to start units. Workers
live on when the daemon ends: the next one finds them by the guest's lock and stamp.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from hypersdkd.host.cgroup import cgroup_of, cpu_time, exists
from hypersdkd.host.sessions import ProcessStamp, boot_id, ended, read_stamp
from hypersdkd.host.worker_unit import SOCKET, Handover, UnitEnd, read_answer
from hypersdkd.model.problem import Problem, ProblemError, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import WorkerEnd
from hypersdkd.spec.types import Executor, GuestRun

#: Where the socket is without the environment's word.
_PATH: Final = Path("/run/hypersdkd/worker.sock")

#: Seconds that a unit may take from the connection to the worker's answer: a busy host starts many things at once.
_START_SECONDS: Final = 60.0

#: Seconds before a guest is handed over again, where no worker was to be had.
_RETRY_SECONDS: Final = 5.0

#: Seconds between two looks whether a unit's cgroup is gone; systemd takes it away with the unit.
_LOOK_AGAIN: Final = 0.02

#: Why systemd ended a unit (``SERVICE_RESULT``), and what its guest fails with.
_ENDED_BY: Final = {
    "oom-kill": Problem("worker-out-of-memory", "the worker, or a tool of it, was ended because memory ran out"),
    "timeout": Problem("worker-timeout", "the worker ran longer than its unit's RuntimeMaxSec"),
}

#: Seconds without any use of a processor after which a worker is taken for hung: it waits ten minutes at the most, for
#: another one that makes the appliance.
_HUNG_SECONDS: Final = 1800.0

#: Looks at the use of processors in that time.
_LOOKS: Final = 20


class UnitWorker:
    """A worker's unit. ``connection`` is ``None`` for one that a former daemon started."""

    def __init__(
        self, run: GuestRun, leader: ProcessStamp, connection: socket.socket | None, hung_seconds: float
    ) -> None:
        self._run = run
        self._leader = leader
        self._connection = connection
        self._hung_seconds = hung_seconds
        self._hung: Problem | None = None

    @property
    def trouble(self) -> str:
        """That it hangs. A process that waits for storage may take its time to end as well."""
        return f"{self._hung.message}; it is being ended" if self._hung else ""

    async def wait(self) -> WorkerEnd:
        """Until the unit is gone. One that hangs is ended."""
        watching = asyncio.create_task(self._end_when_hung())
        try:
            if self._connection is not None:
                await _closed(self._connection)
            await self._gone()
        finally:
            watching.cancel()
            if self._connection is not None:
                self._connection.close()
        unit = await asyncio.to_thread(UnitEnd.take, self._run.directory)
        if unit is None:
            return WorkerEnd(problem=self._hung)
        return WorkerEnd(unit.exit_status, unit.stopped, self._hung or _ENDED_BY.get(unit.result))

    async def _end_when_hung(self) -> None:
        """A process that waits for storage which does not answer, or was stopped, uses no processor."""
        used, since = -1, time.monotonic()
        while (now_used := cpu_time(self._leader.cgroup)) is not None:
            if now_used != used:
                used, since = now_used, time.monotonic()
            elif time.monotonic() - since >= self._hung_seconds:
                self._hung = Problem("worker-hung", f"the worker did nothing for {self._hung_seconds:.0f} s")
                await self.kill()
                return
            await asyncio.sleep(self._hung_seconds / _LOOKS)

    async def kill(self) -> None:
        """End the main process; with it systemd ends all the unit."""
        if self._leader.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader.pid, signal.SIGKILL)
        await self._gone()

    async def _gone(self) -> None:
        if self._leader.alive():
            await ended(self._leader.pid)
        if _has_a_unit(self._leader):
            await _until_gone(self._leader.cgroup)


def _socket_path() -> Path:
    return Path(os.environ.get(SOCKET) or _PATH)


def obstacle() -> str:
    """Why systemd would start no worker for us, as far as the socket tells without a connection."""
    path = _socket_path()
    try:
        found = path.stat()
    except OSError as error:
        return f"systemd starts no worker: {path}: {error.strerror}"
    if not stat.S_ISSOCK(found.st_mode):
        return f"{path} is not a socket"
    if not os.access(path, os.W_OK, effective_ids=True):
        return f"{path} is not for user {os.geteuid()}"
    return ""


async def start(run: GuestRun, hung_seconds: float = _HUNG_SECONDS) -> UnitWorker:
    """Hand the guest to a new unit. Raises ``worker-unavailable`` where there is none to be had now."""
    await asyncio.to_thread(UnitEnd.take, run.directory)  # one that a killed daemon did not come to read
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.setblocking(False)
        connection.connect(os.fspath(_socket_path()))
        Handover(run.directory, run.log, run.job_id, run.vm).send(connection)
        async with asyncio.timeout(_START_SECONDS):
            packet = await asyncio.get_running_loop().sock_recv(connection, 4096)
        if not packet:
            raise ConnectionResetError("its unit did not start; see `journalctl -u 'hypersdkd-worker@*'`")
        leader = read_answer(packet)
    except (OSError, ValueError) as error:  # TimeoutError is one of the former
        connection.close()
        reason = getattr(error, "strerror", None) or str(error) or "it does not answer"
        problem = Problem("worker-unavailable", one_line(obstacle() or f"systemd starts no worker: {reason}"))
        raise ProblemError(problem, retry_after=_RETRY_SECONDS) from error
    except BaseException:
        connection.close()
        raise
    return UnitWorker(run, leader, connection, hung_seconds)


async def adopt(run: GuestRun, hung_seconds: float = _HUNG_SECONDS) -> UnitWorker | None:
    """The worker of a former daemon, if it lives, or if it is known how it ended."""
    leader = read_stamp(run.stamp)
    if leader is None:
        return None
    worker = UnitWorker(run, leader, None, hung_seconds)
    if not leader.alive():
        await worker.kill()  # until what is left of its unit is gone, and has told how it ended
        if not UnitEnd.left(run.directory):
            return None
    return worker


async def _until_gone(cgroup: str) -> None:
    while True:
        if not exists(cgroup):
            return
        await asyncio.sleep(_LOOK_AGAIN)


async def _closed(connection: socket.socket) -> None:
    with contextlib.suppress(ConnectionError):
        while await asyncio.get_running_loop().sock_recv(connection, 1):
            pass


def _has_a_unit(leader: ProcessStamp) -> bool:
    """Whether it ran, in this boot, in a group of its own and not, as a child of a daemon, in one like ours."""
    return leader.boot == boot_id() and leader.cgroup not in {"", "/", cgroup_of(os.getpid())}


class Plugin:
    """``plugins.executor_systemd.hung_seconds``: seconds after which a worker that does nothing is ended."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        """Raises ``ValueError`` for settings that make no sense."""
        known = {"hung_seconds": _HUNG_SECONDS, **settings}
        seconds = known.pop("hung_seconds")
        if known or isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
            raise ValueError("the one setting is hung_seconds, a number of seconds above 0")
        self._hung_seconds = float(seconds)

    @hookimpl
    def hypersdkd_executors(self) -> Sequence[Executor]:
        """Declare the executor."""
        start_here = partial(start, hung_seconds=self._hung_seconds)
        adopt_here = partial(adopt, hung_seconds=self._hung_seconds)
        return [Executor("systemd", start_here, adopt_here, outlives=True, obstacle=obstacle)]
