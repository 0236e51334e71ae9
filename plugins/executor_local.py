"""Executor ``local``: each worker is a child process of the daemon, in a session of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence

from hypersdkd.host.sessions import ProcessStamp, end_session, ended, read_stamp, write_stamp
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import WorkerEnd
from hypersdkd.spec.types import Executor, GuestRun


class LocalWorker:
    """A worker's session. ``process`` is ``None`` for one that a former daemon started."""

    def __init__(self, leader: ProcessStamp, marker: str, process: subprocess.Popen[bytes] | None) -> None:
        self._leader = leader
        self._marker = marker
        self._process = process
        self.trouble = ""

    async def wait(self) -> WorkerEnd:
        """Until the worker has ended; whatever else of its session is left then is of no use and is ended."""
        if self._process is not None or self._leader.alive():
            await ended(self._leader.pid)
        status = self._process.wait() if self._process is not None else None
        await end_session(self._leader, self._marker)
        return WorkerEnd(status)

    async def kill(self) -> None:
        """End the whole session."""
        await end_session(self._leader, self._marker)


async def start(run: GuestRun) -> LocalWorker:
    """Start the worker. Its output goes to the guest's log; it gets no input and no descriptor of ours."""
    name, _, value = run.marker.partition("=")

    def spawn() -> subprocess.Popen[bytes]:
        log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            return subprocess.Popen(
                run.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=run.directory,
                env={**os.environ, name: value, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        finally:
            os.close(log)

    process = await asyncio.to_thread(spawn)
    leader = ProcessStamp.of(process.pid)
    if leader is None:  # it has ended already
        return LocalWorker(ProcessStamp(process.pid, 0, ""), run.marker, process)
    worker = LocalWorker(leader, run.marker, process)
    try:
        # The worker does so itself, but only once Python has started: a daemon killed until then must be found out.
        await asyncio.to_thread(write_stamp, run.stamp, leader)
    except OSError:
        await worker.kill()
        await worker.wait()
        raise
    return worker


async def adopt(run: GuestRun) -> LocalWorker | None:
    """The worker of a former daemon, if it lives; what it left behind if not is ended first."""
    leader = read_stamp(run.stamp)
    if leader is None:
        return None
    if leader.alive():
        return LocalWorker(leader, run.marker, None)
    await end_session(leader, run.marker)
    return None


@hookimpl
def hypersdkd_executors() -> Sequence[Executor]:
    """Declare the executor."""
    return [Executor("local", start, adopt)]
