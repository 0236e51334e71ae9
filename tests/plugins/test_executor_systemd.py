"""Workers in units of their own, with a socket of ours in place of systemd's; tests/systemd has the real one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypersdkd_plugins import executor_systemd
from hypersdkd_plugins.executor_systemd import Plugin, adopt, start

from hypersdkd.host.sessions import ProcessStamp, write_stamp
from hypersdkd.host.worker_unit import SOCKET, Handover, UnitEnd, answer
from hypersdkd.model.problem import ProblemError
from hypersdkd.spec.types import GuestRun
from tests.privileges import NOBODY, unprivileged


@pytest.fixture
def run(tmp_path: Path) -> GuestRun:
    return GuestRun(
        job_id="a.json",
        vm="web01",
        directory=tmp_path,
        command=("true",),
        marker="HYPERSDKD_GUEST=x",
        log=tmp_path / "worker.log",
        lock=tmp_path / "lock",
        stamp=tmp_path / "worker.json",
    )


class ServiceManager:
    """Listens as systemd does; its units are this process' children."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(os.fspath(path))
        self.listener.listen(1)
        self.unit: subprocess.Popen[bytes] | None = None
        self.connection: socket.socket | None = None

    async def begin(self) -> Handover | None:
        """Take a connection and start its unit."""
        self.connection = await asyncio.to_thread(lambda: self.listener.accept()[0])
        self.unit = subprocess.Popen(["sleep", "1000"])
        stamp = ProcessStamp.of(self.unit.pid)
        assert stamp is not None
        answer(self.connection, stamp)
        return Handover.peek(self.connection)

    async def end(self, directory: Path, end: UnitEnd) -> None:
        """When the unit's process has ended: what is left of it, and the connection's end."""
        assert self.unit is not None
        assert self.connection is not None
        await asyncio.to_thread(self.unit.wait)
        end.leave(directory)
        self.connection.close()

    def close(self) -> None:
        self.listener.close()
        if self.connection is not None:
            self.connection.close()
        if self.unit is not None:
            self.unit.kill()
            self.unit.wait()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceManager]:
    path = tmp_path / "worker.sock"
    monkeypatch.setenv(SOCKET, str(path))
    manager = ServiceManager(path)
    yield manager
    manager.close()


async def test_a_guest_is_handed_over_and_its_units_end_awaited(run: GuestRun, systemd: ServiceManager) -> None:
    UnitEnd("signal", "killed", "SEGV").leave(run.directory)  # of an earlier attempt
    worker, over = await asyncio.gather(start(run), systemd.begin())
    assert over == Handover(run.directory, run.log, "a.json", "web01")
    waiting = asyncio.create_task(worker.wait())
    _, _, end = await asyncio.gather(
        worker.kill(), systemd.end(run.directory, UnitEnd("signal", "killed", "KILL")), waiting
    )
    assert (end.status, end.interrupted, end.problem) == (-signal.SIGKILL, False, None)
    assert not UnitEnd.left(run.directory)
    await worker.kill()


@pytest.mark.parametrize(
    ("result", "code"),
    [("oom-kill", "worker-out-of-memory"), ("timeout", "worker-timeout")],
)
async def test_what_systemd_ends_is_a_problem(run: GuestRun, systemd: ServiceManager, result: str, code: str) -> None:
    worker, _ = await asyncio.gather(start(run), systemd.begin())
    assert systemd.unit is not None
    systemd.unit.kill()
    _, end = await asyncio.gather(systemd.end(run.directory, UnitEnd(result, "killed", "KILL")), worker.wait())
    assert end.problem is not None
    assert end.problem.code == code


async def test_waiting_can_be_given_up(run: GuestRun, systemd: ServiceManager) -> None:
    worker, _ = await asyncio.gather(start(run), systemd.begin())
    waiting = asyncio.create_task(worker.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert systemd.unit is not None
    assert systemd.unit.poll() is None, "it goes on"


async def test_no_socket_and_no_unit_are_waited_for(run: GuestRun, systemd: ServiceManager) -> None:
    async def refuse() -> None:  # as systemd does above MaxConnections=
        connection, _ = await asyncio.to_thread(systemd.listener.accept)
        connection.close()

    refused, _ = await asyncio.gather(start(run), refuse(), return_exceptions=True)
    systemd.listener.close()
    gone = await asyncio.gather(start(run), return_exceptions=True)
    for error in (refused, *gone):
        assert isinstance(error, ProblemError)
        assert (error.problem.code, error.retry_after) == ("worker-unavailable", 5.0)


async def test_a_socket_that_is_not_there_is_named(run: GuestRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERSDKD_WORKER_SOCKET", "/run/none.sock")
    with pytest.raises(ProblemError, match=r"systemd starts no worker: /run/none\.sock: No such file"):
        await start(run)


async def test_one_that_says_nothing_is_given_up(
    run: GuestRun, systemd: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_systemd, "_START_SECONDS", 0.05)
    with pytest.raises(ProblemError, match="does not answer"):
        await start(run)


async def test_a_worker_of_a_former_daemon(run: GuestRun) -> None:
    assert await adopt(run) is None, "nothing was"
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    write_stamp(run.stamp, ProcessStamp.of(child.pid))
    worker = await adopt(run)
    assert worker is not None
    waiting = asyncio.create_task(worker.wait())
    await worker.kill()
    await child.wait()
    assert (await waiting).status is None, "nobody left how it ended"
    assert await adopt(run) is None
    UnitEnd("success", "killed", "TERM").leave(run.directory)
    ended = await adopt(run)
    assert ended is not None
    assert (await ended.wait()).interrupted
    assert await adopt(run) is None


async def test_one_that_does_nothing_is_ended(
    run: GuestRun, systemd: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = iter([1, 2, 2])
    monkeypatch.setattr(executor_systemd, "cpu_time", lambda _cgroup: next(used, 2))
    worker, _ = await asyncio.gather(start(run, hung_seconds=0.1), systemd.begin())
    _, end = await asyncio.gather(systemd.end(run.directory, UnitEnd("signal", "killed", "KILL")), worker.wait())
    assert end.problem is not None
    assert end.problem.code == "worker-hung"
    assert worker.trouble == "the worker did nothing for 0 s; it is being ended"


def test_it_is_declared() -> None:
    (executor,) = Plugin({"hung_seconds": 60}).hypersdkd_executors()
    assert (executor.name, executor.outlives) == ("systemd", True)


def test_what_keeps_workers_from_starting_is_told(systemd: ServiceManager, tmp_path: Path) -> None:
    (executor,) = Plugin({}).hypersdkd_executors()
    assert executor.obstacle() == ""
    path = tmp_path / "worker.sock"
    path.unlink()
    assert executor.obstacle() == f"systemd starts no worker: {path}: No such file or directory"
    path.touch()
    assert executor.obstacle() == f"{path} is not a socket"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a socket of another user")
def test_a_socket_that_is_anothers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        Path(name).chmod(0o755)
        listener.bind(f"{name}/worker.sock")
        Path(name, "worker.sock").chmod(0o600)
        monkeypatch.setenv(SOCKET, f"{name}/worker.sock")
        (executor,) = Plugin({}).hypersdkd_executors()
        with unprivileged():
            assert executor.obstacle() == f"{name}/worker.sock is not for user {NOBODY}"


@pytest.mark.parametrize("settings", [{"hung_seconds": 0}, {"hung_seconds": True}, {"hung": 1}, {"hung_seconds": "1"}])
def test_settings_that_make_no_sense(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="hung_seconds"):
        Plugin(settings)
