"""The program of a worker's unit, with a connection as systemd gives it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from hypersdkd.host.sessions import read_stamp
from hypersdkd.host.worker_unit import Handover, UnitEnd, read_answer
from tests.engine.guests import types
from tests.images import make
from tests.test_worker import guest


def run_unit(
    *arguments: str, over: Handover | bytes | None, environment: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], bytes]:
    """What it said, and what it answered by the connection."""
    daemon, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with daemon, worker:
        if isinstance(over, Handover):
            over.send(daemon)
        elif over is not None:
            daemon.send(over)
        if over is None:
            daemon.shutdown(socket.SHUT_WR)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "hypersdkd.worker_unit", *arguments],
            stdin=worker,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **(environment or {})},
            check=False,
        )
        daemon.setblocking(False)
        try:
            return done, daemon.recv(4096)
        except BlockingIOError:
            return done, b""


def test_it_becomes_the_guests_worker(tmp_path: Path) -> None:
    directory = guest(tmp_path, make(tmp_path / "disk.raw", size=2 << 20))
    over = Handover(directory, directory / "worker.log", "web01.json", "web\n01")
    done, said = run_unit(over=over)
    assert done.returncode == 0, done.stderr
    assert types(directory)[-1] == "finished"
    assert done.stderr == f"<6>job web01.json, guest web\\n01: begins in {directory}\n"
    assert done.stdout == ""
    assert "convert complete" in (directory / "worker.log").read_text()
    assert read_answer(said) == read_stamp(directory / "worker.json")


def test_it_leaves_how_the_unit_ended(tmp_path: Path) -> None:
    over = Handover(tmp_path, tmp_path / "worker.log", "web01.json", "web01")
    ended = {"SERVICE_RESULT": "oom-kill", "EXIT_CODE": "killed", "EXIT_STATUS": "KILL"}
    done, said = run_unit("ended", over=over, environment=ended)
    assert (done.returncode, said) == (0, b"")
    assert done.stderr == "<4>job web01.json, guest web01: ended, oom-kill killed KILL\n"
    assert UnitEnd.take(tmp_path) == UnitEnd("oom-kill", "killed", "KILL")


def test_no_guest_is_no_work() -> None:
    assert run_unit(over=None)[0].returncode == 0, "the daemon ended: the next one hands it over"
    done, _ = run_unit(over=b"nonsense")
    assert done.returncode == 65
    assert done.stderr.startswith("<3>no guest was handed over")


def test_a_log_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "worker.log").symlink_to(tmp_path / "elsewhere")
    done, _ = run_unit(over=Handover(tmp_path, tmp_path / "worker.log"))
    assert done.returncode == 1
    assert not (tmp_path / "elsewhere").exists()
