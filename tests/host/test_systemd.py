"""sd_notify over a real datagram socket: the very bytes that systemd would get."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host.systemd import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"\0hypersdkd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        yield listener


@pytest.fixture
def notifier(systemd: socket.socket) -> Iterator[Notifier]:
    notifier = Notifier()
    yield notifier
    notifier.close()


def test_each_message(systemd: socket.socket, notifier: Notifier) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert notifier.ready("2 running")
    assert systemd.recv(4096) == b"READY=1\nSTATUS=2 running"
    assert notifier.ready()
    assert systemd.recv(4096) == b"READY=1"
    assert notifier.watchdog()
    assert systemd.recv(4096) == b"WATCHDOG=1"
    assert notifier.stopping("draining")
    assert systemd.recv(4096) == b"STOPPING=1\nSTATUS=draining"
    assert notifier.extend_timeout(1.5)
    assert systemd.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000"
    assert notifier.reloading()
    reloading, clock = systemd.recv(4096).split(b"\n")
    assert reloading == b"RELOADING=1"
    assert before <= int(clock.removeprefix(b"MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.parametrize("text", ["café", "load → convert", "変換中", "🚀 é"])
def test_status_arrives_as_utf8(systemd: socket.socket, notifier: Notifier, text: str) -> None:
    assert notifier.ready(text)
    assert systemd.recv(4096) == b"READY=1\nSTATUS=" + text.encode()


def test_a_hostile_status_stays_one_line_of_valid_utf8(systemd: socket.socket, notifier: Notifier) -> None:
    assert notifier.status("a\nREADY=1\r\x1b[31m\0\udcff" + "é" * 4000)
    message = systemd.recv(65536)
    assert message.startswith(b"STATUS=a READY=1  [31m")
    assert b"\n" not in message
    assert len(message.decode()) <= 510


def test_an_empty_status_clears_the_last_one(systemd: socket.socket, notifier: Notifier) -> None:
    assert notifier.status("")
    assert systemd.recv(4096) == b"STATUS= "


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sdnotify drops its socket then
def test_without_a_supervisor_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not Notifier().ready()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not Notifier().ready()


def test_a_supervisor_that_went_away_is_no_error(systemd: socket.socket, notifier: Notifier) -> None:
    systemd.close()
    assert not notifier.watchdog()


def test_a_closed_notifier_is_silent(notifier: Notifier) -> None:
    notifier.close()
    assert not notifier.watchdog()


@pytest.mark.parametrize(
    ("microseconds", "process", "seconds"),
    [
        ("30000000", None, 15.0),
        ("30000000", "self", 15.0),
        ("30000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_watchdog_interval(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, process: str | None, seconds: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", process)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "self" else value)
    assert watchdog_interval() == seconds


TAKER = """
import os, sys
from hypersdkd.host.systemd import take_sockets
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[1]))
taken = take_sockets("api")
print([(listener.family.name, listener.getsockname()[1:] != (), listener.get_inheritable()) for listener in taken])
print(sorted(name for name in os.environ if name.startswith("LISTEN_")), take_sockets("api"))
for fd in (3, 4, 5):
    try:
        os.fstat(fd)
    except OSError:
        print("closed", fd)
"""


@pytest.mark.parametrize("other", [0, 1], ids=["ours", "of another process"])
def test_sockets_that_the_supervisor_made(tmp_path: Path, other: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "api.sock"))
        with (tmp_path / "x").open("w") as stranger:
            order = {3: unix.fileno(), 4: stranger.fileno(), 5: tcp.fileno()}

            def place() -> None:
                high = [os.dup2(fd, 100 + number) for number, fd in order.items()]
                for fd in high:
                    os.dup2(fd, fd - 100)

            done = subprocess.run(
                [sys.executable, "-c", TAKER, str(other)],
                preexec_fn=place,
                close_fds=False,
                env={**os.environ, "LISTEN_FDS": "3", "LISTEN_FDNAMES": "api:other:api"},
                capture_output=True,
                text=True,
                check=True,
            )
    lines = done.stdout.splitlines()
    if other:
        assert lines == ["[]", "[] []"], "what is not for us is left alone"
    else:
        assert lines[0] == "[('AF_UNIX', True, False), ('AF_INET', True, False)]"
        assert lines[1:] == ["[] []", "closed 4"]
