"""Workers as child processes: started in a session of their own, found again, and ended whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypersdkd_plugins.executor_local import adopt, hypersdkd_executors, start

from hypersdkd.host.files import is_locked
from hypersdkd.host.sessions import ProcessStamp, ended, read_stamp
from hypersdkd.spec.types import GuestRun
from tests.system.daemon_process import until

#: A worker that holds its lock, says who it is, and has a child that ignores signals.
WORKER = """
import os, subprocess, sys
from pathlib import Path
from hypersdkd.host.files import try_lock
from hypersdkd.host.sessions import write_stamp
lock = try_lock(Path('lock'))
write_stamp(Path('stamp'))
script = "trap '' TERM INT HUP; sleep 1000 & echo $! > child.draft; mv child.draft child; wait"
child = subprocess.Popen(['sh', '-c', script])
print('started', os.getpid() == os.getsid(0), sys.stdin.read() == '', flush=True)
if sys.argv[1] == 'hang':
    child.wait()
while not Path('child').exists():
    pass
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., GuestRun]:
    def make(*command: str) -> GuestRun:
        return GuestRun(
            job_id="a.json",
            vm="web01",
            directory=tmp_path,
            command=command,
            marker=f"HYPERSDKD_GUEST={tmp_path}",
            log=tmp_path / "worker.log",
            lock=tmp_path / "lock",
            stamp=tmp_path / "stamp",
        )

    return make


async def until_it_has_a_child(run: GuestRun) -> int:
    """Wait until the worker is whole; its child's process ID."""
    child = run.directory / "child"
    await asyncio.to_thread(until, lambda: child.exists() and run.stamp.exists(), run.directory)
    return int(child.read_text())


def alive(pid: int) -> bool:
    return ProcessStamp.of(pid) is not None


async def test_output_and_status_are_kept_and_nothing_is_inherited(
    run_of: Callable[..., GuestRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "yes")
    inherited = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    run = run_of(
        "sh", "-c", 'echo "$HYPERSDKD_GUEST $KEPT $LC_ALL"; pwd; ls /proc/self/fd | wc -l; echo err >&2; exit 7'
    )
    worker = await start(run)
    assert (await worker.wait()).status == 7
    os.close(inherited)
    directory = str(run.directory)
    assert run.log.read_text().splitlines() == [f"{directory} yes C.UTF-8", directory, "4", "err"]
    worker = await start(run)
    await worker.wait()
    assert len(run.log.read_text().splitlines()) == 8, "a second attempt is appended"


async def test_a_signal_is_a_negative_status(run_of: Callable[..., GuestRun]) -> None:
    worker = await start(run_of("sh", "-c", "kill -SEGV $$"))
    assert (await worker.wait()).status == -signal.SIGSEGV


async def test_a_program_that_is_not_there_is_an_os_error(run_of: Callable[..., GuestRun]) -> None:
    with pytest.raises(FileNotFoundError):
        await start(run_of("/no/such/program"))


async def test_a_log_that_is_a_link_is_not_followed(run_of: Callable[..., GuestRun], tmp_path: Path) -> None:
    (tmp_path / "worker.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        await start(run_of("true"))


async def test_what_a_worker_leaves_behind_is_ended_with_it(run_of: Callable[..., GuestRun], tmp_path: Path) -> None:
    worker = await start(run_of(sys.executable, "-c", WORKER, "3"))
    assert (await worker.wait()).status == 3
    assert (tmp_path / "worker.log").read_text() == "started True True\n"
    assert not alive(int((tmp_path / "child").read_text()))


async def test_a_kill_ends_all_of_it_and_may_be_repeated(run_of: Callable[..., GuestRun]) -> None:
    run = run_of(sys.executable, "-c", WORKER, "hang")
    worker = await start(run)
    child = await until_it_has_a_child(run)
    waiting = asyncio.create_task(worker.wait())
    await asyncio.gather(worker.kill(), worker.kill())
    assert (await asyncio.wait_for(waiting, 10)).status == -signal.SIGKILL
    assert not alive(child)
    await worker.kill()


async def test_a_worker_that_ended_before_anybody_looked(run_of: Callable[..., GuestRun]) -> None:
    worker = await start(run_of("true"))
    await ended(worker._leader.pid)
    assert (await worker.wait()).status == 0


def start_by_another_daemon(run: GuestRun) -> subprocess.Popen[bytes]:
    """A process that starts the worker and stays its parent."""
    name, _, value = run.marker.partition("=")
    code = f"import subprocess\nsubprocess.run({run.command!r}, start_new_session=True, cwd={str(run.directory)!r})"
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, name: value}, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("kill", [False, True])
async def test_a_worker_of_a_former_daemon_is_adopted(run_of: Callable[..., GuestRun], kill: bool) -> None:
    run = run_of(sys.executable, "-c", WORKER, "hang")
    with start_by_another_daemon(run) as former:
        child = await until_it_has_a_child(run)
        former.kill()
    leader = read_stamp(run.stamp)
    assert leader is not None
    worker = await adopt(run)
    assert worker is not None
    waiting = asyncio.create_task(worker.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    if kill:
        await worker.kill()
    else:
        os.kill(leader.pid, signal.SIGKILL)
    assert (await asyncio.wait_for(waiting, 10)).status is None
    assert not alive(leader.pid)
    assert not alive(child)
    assert not is_locked(run.lock)


async def test_what_a_dead_worker_left_is_ended_and_not_adopted(run_of: Callable[..., GuestRun]) -> None:
    run = run_of(sys.executable, "-c", WORKER, "hang")
    with start_by_another_daemon(run) as former:
        child = await until_it_has_a_child(run)
        leader = read_stamp(run.stamp)
        assert leader is not None
        os.kill(leader.pid, signal.SIGKILL)
        former.wait()
    assert alive(child)
    assert await adopt(run) is None
    assert not alive(child)


async def test_nothing_is_adopted_where_nothing_was(run_of: Callable[..., GuestRun]) -> None:
    assert await adopt(run_of("true")) is None


async def test_a_process_id_that_was_used_again_is_spared(run_of: Callable[..., GuestRun], tmp_path: Path) -> None:
    run = run_of("true")
    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    stamp = ProcessStamp.of(other.pid)
    assert stamp is not None
    run.stamp.write_text(f'{{"pid": {other.pid}, "start": {stamp.start - 5}, "boot": "{stamp.boot}"}}')
    run.lock.touch()
    assert await adopt(run) is None
    assert other.poll() is None
    other.kill()
    other.wait()


def test_it_is_declared() -> None:
    assert [executor.name for executor in hypersdkd_executors()] == ["local"]
