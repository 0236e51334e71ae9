"""A session is ended whole, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.host import sessions
from hypersdkd.host.sessions import ProcessStamp, boot_id, end_session, ended, members, read_stamp, write_stamp

MARKER = "HYPERSDKD_TEST=here"


def start(script: str, *, marked: bool = True, session: bool = True) -> subprocess.Popen[bytes]:
    """A shell that says a line when it is ready."""
    name, _, value = MARKER.partition("=")
    environment = {**os.environ, **({name: value} if marked else {})}
    command = ["sh", "-c", script]
    process = subprocess.Popen(command, env=environment, start_new_session=session, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.first = process.stdout.readline()  # type: ignore[attr-defined]
    return process


def close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.close()
    process.kill()
    process.wait()


def stamp(process: subprocess.Popen[bytes]) -> ProcessStamp:
    found = ProcessStamp.of(process.pid)
    assert found is not None
    return found


def gone(pid: int) -> bool:
    found = ProcessStamp.of(pid)
    return found is None


async def test_grandchildren_that_ignore_sigterm_are_ended() -> None:
    script = "trap '' TERM INT HUP; sh -c 'trap \"\" TERM; sleep 1000 & echo $!; wait' & wait"
    process = start(script)
    leader, grandchild = stamp(process), int(process.first)  # type: ignore[attr-defined]
    assert {process.pid, grandchild} <= set(members(leader, MARKER))
    async with asyncio.timeout(20):
        await end_session(leader, MARKER)
    assert members(leader, MARKER) == []
    assert gone(grandchild)
    close(process)


async def test_what_outlives_its_leader_is_ended() -> None:
    process = start("sleep 1000 & echo $!; exit 0")
    leader = ProcessStamp(process.pid, 0, Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    process.wait()
    left = int(process.first)  # type: ignore[attr-defined]
    assert members(leader, MARKER) == [left]
    await end_session(leader, MARKER)
    assert gone(left)
    close(process)


async def test_a_session_number_that_was_used_again_is_spared() -> None:
    process = start("echo ready; exec sleep 1000", marked=False)
    leader = stamp(process)
    assert members(leader, MARKER) == []
    await end_session(leader, MARKER)
    assert process.poll() is None
    close(process)


def test_a_program_that_is_just_being_loaded_is_no_process_without_an_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In execve(2) the environment is empty for a moment; a foreign process would have been killed in it."""
    proc = tmp_path / "41"
    proc.mkdir()
    (proc / "stat").write_text("41 (sleep) S 1 41 41 " + "0 " * 15 + "7 0")
    monkeypatch.setattr(sessions, "_PROC", tmp_path)
    leader = ProcessStamp(41, 7, boot_id())

    def loaded(environment: bytes) -> None:
        (proc / "environ").write_bytes(b"")
        monkeypatch.setattr(sessions.time, "sleep", lambda _pause: (proc / "environ").write_bytes(environment))

    loaded(b"A=1\0B=2\0")
    assert members(leader, MARKER) == []
    loaded(f"A=1\0{MARKER}\0".encode())
    assert members(leader, MARKER) == [41]
    loaded(b"")
    assert members(leader, MARKER) == [41], "it was started without any"
    monkeypatch.setattr(
        sessions.time, "sleep", lambda _pause: (proc / "stat").write_text("41 (sleep) Z 1 41 41 " + "0 " * 15 + "7 0")
    )
    assert members(leader, MARKER) == [], "it was ending"


async def test_older_processes_and_other_boots_are_spared() -> None:
    process = start("echo ready; exec sleep 1000")
    leader = stamp(process)
    await end_session(replace(leader, start=leader.start + 1), MARKER)
    await end_session(replace(leader, boot="another"), MARKER)
    assert process.poll() is None
    assert members(leader, MARKER) == [process.pid]
    close(process)


async def test_other_sessions_are_spared() -> None:
    leader, other = start("echo ready; exec sleep 1000"), start("echo ready; exec sleep 1000")
    await end_session(stamp(leader), MARKER)
    assert other.poll() is None
    close(leader)
    close(other)


def test_a_reused_process_id_is_another_process() -> None:
    mine = ProcessStamp.of(os.getpid())
    assert mine is not None
    assert mine.alive()
    assert not replace(mine, start=mine.start - 1).alive()
    assert not replace(mine, boot="another").alive()


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessStamp.of(process.pid) is None
    process.wait()


def test_a_command_name_cannot_confuse_the_parser(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 (x"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "1000"], start_new_session=True)
    for _ in range(1000):
        if Path(f"/proc/{process.pid}/comm").read_text() == ") R 1 (x\n":
            break
        os.sched_yield()
    assert members(stamp(process), "PATH=" + os.environ["PATH"]) == [process.pid]
    process.kill()
    process.wait()


def test_a_stamp_is_read_back(tmp_path: Path) -> None:
    write_stamp(tmp_path / "stamp")
    assert read_stamp(tmp_path / "stamp") == ProcessStamp.of(os.getpid())


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b'{"pid": "x", "start": 1, "boot": ""}', b"\xff"]
)
def test_a_broken_stamp_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stamp").write_bytes(content)
    assert read_stamp(tmp_path / "stamp") is None
    assert read_stamp(tmp_path / "missing") is None


async def test_the_end_of_a_process_that_is_no_child_is_awaited() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '1000']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        waiting = asyncio.create_task(ended(pid))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.kill(pid, 9)
        await asyncio.wait_for(waiting, 5)
    await ended(2**22 + 1)
    assert json.dumps(ProcessStamp(1, 2, "b").as_dict()) == '{"pid": 1, "start": 2, "boot": "b", "cgroup": ""}'
