"""QEMU's monitor: events are kept while answers are waited for, and nonsense ends it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from hypersdkd.host.qmp import Monitor
from tests.problems import raises_problem

GREETING = {"QMP": {"version": {}}}
ANSWER = {"return": {}}


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Monitor]]:
    ours, its = socket.socketpair()
    with ours, its:
        yield its, Monitor(ours)


def say(end: socket.socket, *messages: object) -> None:
    end.sendall(b"".join(json.dumps(message).encode() + b"\r\n" for message in messages))


def test_events_come_in_order_whatever_else_is_said(ends: tuple[socket.socket, Monitor]) -> None:
    end, monitor = ends
    assert monitor.events() == []
    say(end, GREETING, {"event": "RESUME"}, ANSWER, {"event": "RTC_CHANGE"}, {"return": {"status": "running"}})
    assert monitor.command("query-status", {}, 5) == {"return": {"status": "running"}}
    assert [json.loads(line)["execute"] for line in end.recv(4096).replace(b"}{", b"}\n{").splitlines()] == [
        "qmp_capabilities",
        "query-status",
    ]
    assert [event["event"] for event in monitor.events()] == ["RESUME", "RTC_CHANGE"]


def test_a_refusal_a_silence_and_an_end(ends: tuple[socket.socket, Monitor]) -> None:
    end, monitor = ends
    say(end, GREETING, ANSWER, {"error": {"class": "GenericError", "desc": "no"}})
    with raises_problem("tool-failed", "GenericError"):
        monitor.command("screendump", {}, 5)
    with raises_problem("tool-timeout"):
        monitor.command("screendump", {}, 0.01)
    end.shutdown(socket.SHUT_RDWR)
    with raises_problem("tool-failed"):
        monitor.command("screendump", {}, 5)
    assert monitor.events() == []


@pytest.mark.parametrize("noise", [b"no json\n", b"x" * (2 << 20)], ids=["no JSON", "no end"])
def test_noise(ends: tuple[socket.socket, Monitor], noise: bytes) -> None:
    end, monitor = ends
    end.setblocking(False)
    with raises_problem("tool-failed"):
        while True:
            sent = end.send(noise[: 1 << 16])
            assert sent
            monitor.events()
