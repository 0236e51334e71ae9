"""Entries as journald would get them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host.journald import send


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.settimeout(20)
        yield listener


def test_an_entry(journal: socket.socket, tmp_path: Path) -> None:
    assert send({"MESSAGE": "caf\u00e9 = \udcff", "PRIORITY": "4"}, tmp_path / "socket")
    assert journal.recv(4096) == "MESSAGE=caf\u00e9 = \\udcff\nPRIORITY=4\n".encode()


def test_no_text_forges_a_field(journal: socket.socket, tmp_path: Path) -> None:
    evil = "a\nPRIORITY=0\n"
    assert send({"MESSAGE": evil, "X": "y"}, tmp_path / "socket")
    assert journal.recv(4096) == b"MESSAGE\n" + struct.pack("<Q", len(evil)) + evil.encode() + b"\nX=y\n"


def test_what_the_journal_does_not_take(journal: socket.socket, tmp_path: Path) -> None:
    assert not send({"MESSAGE": "x"}, tmp_path / "none")
    assert not send({"MESSAGE": "x" * (64 << 20)}, tmp_path / "socket")
