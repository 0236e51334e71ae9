"""A process that refuses itself sockets has none left, whatever their family, and converts disks all the same."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess

import pytest

from hypersdkd.host import sockets
from hypersdkd.host.sockets import can_refuse, refuse_sockets
from tests.host.apart import apart

FAMILIES = {
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
    "tcp": (socket.AF_INET, socket.SOCK_STREAM),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM),
    "udp6": (socket.AF_INET6, socket.SOCK_DGRAM),
    "netlink": (socket.AF_NETLINK, socket.SOCK_RAW),
    "vsock": (socket.AF_VSOCK, socket.SOCK_STREAM),
}
PROBES = {name: lambda words=words: socket.socket(*words).close() for name, words in FAMILIES.items()}  # type: ignore[misc]

needs_seccomp = pytest.mark.skipif(not can_refuse(), reason="no seccomp here")


@needs_seccomp
@pytest.mark.parametrize("but_local", [False, True])
def test_no_socket_of_any_family(but_local: bool) -> None:
    found = apart(lambda: refuse_sockets(but_local=but_local), **PROBES)
    allowed = {"unix"} if but_local else set()
    assert found == {name: "ok" if name in allowed else "PermissionError" for name in FAMILIES}


@needs_seccomp
def test_nor_by_a_ring_or_a_child() -> None:
    def ring() -> None:
        if ctypes.CDLL(None, use_errno=True).syscall(425, 1, ctypes.create_string_buffer(120)) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")

    def child() -> None:
        script = "import socket; socket.socket()"
        done = subprocess.run(["python3", "-c", script], capture_output=True, text=True, check=False)
        raise RuntimeError if "PermissionError" in done.stderr else AssertionError

    found = apart(refuse_sockets, ring=ring, child=child, pair=lambda: [one.close() for one in socket.socketpair()])
    assert found == {"ring": "PermissionError", "child": "RuntimeError", "pair": "ok"}


def test_another_machine_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets.platform, "machine", lambda: "vax")
    assert not can_refuse()
    assert apart(refuse_sockets, unix=PROBES["unix"]) == {"unix": "ok"}


@needs_seccomp
def test_calls_by_the_numbers_of_another_table_are_refused() -> None:
    """x32's numbers on a 64 bit kernel: past a filter that knows only one table."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86 has two tables")

    def x32() -> None:
        if ctypes.CDLL(None, use_errno=True).syscall(0x40000000 + 41, 2, 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "socket")

    assert apart(refuse_sockets, x32=x32) == {"x32": "PermissionError"}
