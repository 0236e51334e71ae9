"""What the daemon and a worker in a unit say to each other, and what is left of how a unit ended."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host.sessions import ProcessStamp
from hypersdkd.host.worker_unit import Handover, UnitEnd, answer, read_answer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    daemon, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with daemon, worker:
        yield daemon, worker


def test_a_guest_is_handed_over_and_can_be_read_again(pair: tuple[socket.socket, socket.socket]) -> None:
    daemon, worker = pair
    given = Handover(Path("/q/jobs/a\u00e9.json/00001"), Path("/q/log"), "a\u00e9.json", "web01")
    given.send(daemon)
    daemon.close()
    assert Handover.peek(worker) == given
    assert Handover.peek(worker) == given, "for what is started when the unit ends"


def test_a_daemon_that_goes_away_hands_nothing_over(pair: tuple[socket.socket, socket.socket]) -> None:
    daemon, worker = pair
    daemon.close()
    assert Handover.peek(worker) is None
    stamp = ProcessStamp.of(os.getpid())
    assert stamp is not None
    answer(worker, stamp)


@pytest.mark.parametrize("packet", [b"x", b"[]", b"{}", b'{"directory": 1, "log": "x", "job": "", "vm": ""}'])
def test_what_names_no_guest_is_refused(pair: tuple[socket.socket, socket.socket], packet: bytes) -> None:
    pair[0].send(packet)
    with pytest.raises(ValueError, match=r"."):
        Handover.peek(pair[1])


def test_the_worker_says_who_it_is(pair: tuple[socket.socket, socket.socket]) -> None:
    stamp = ProcessStamp.of(os.getpid())
    assert stamp is not None
    answer(pair[1], stamp)
    said = read_answer(pair[0].recv(4096))
    assert (said, said.cgroup) == (stamp, stamp.cgroup)
    for packet in (b"x", b"{}", b"[]", b'{"pid": "x", "start": 1, "boot": ""}'):
        with pytest.raises(ValueError, match=r"."):
            read_answer(packet)


@pytest.mark.parametrize(
    ("result", "code", "status", "exit_status", "stopped"),
    [
        ("success", "exited", "0", 0, False),
        ("exit-code", "exited", "1", 1, False),
        ("signal", "killed", "KILL", -signal.SIGKILL, False),
        ("core-dump", "dumped", "SEGV", -signal.SIGSEGV, False),
        ("oom-kill", "killed", "KILL", -signal.SIGKILL, False),
        ("success", "killed", "TERM", -signal.SIGTERM, True),
        ("resources", "", "", None, False),
        ("signal", "killed", "NOSUCH", None, False),
    ],
)
def test_an_end_is_told_once(
    tmp_path: Path, result: str, code: str, status: str, exit_status: int | None, stopped: bool
) -> None:
    end = UnitEnd.of({"SERVICE_RESULT": result, "EXIT_CODE": code, "EXIT_STATUS": status})
    assert (end.exit_status, end.stopped) == (exit_status, stopped)
    assert not UnitEnd.left(tmp_path)
    end.leave(tmp_path)
    assert UnitEnd.left(tmp_path)
    assert UnitEnd.take(tmp_path) == end
    assert UnitEnd.take(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "\xff"])
def test_an_end_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "unit.json").write_text(text)
    assert UnitEnd.take(tmp_path) is None
