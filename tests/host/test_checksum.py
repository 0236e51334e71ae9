"""The checksum is that of the whole file, holes are not read, and it comes to an end."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.host import checksum
from hypersdkd.host.checksum import sha256_of
from tests.problems import raises_problem

MIB = 1 << 20


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def plain(fd: int) -> str:
    return "sha256:" + hashlib.sha256(os.pread(fd, 99 * MIB, 0)).hexdigest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    pieces=st.lists(st.tuples(st.integers(0, 3 * MIB), st.integers(1, 100)), max_size=4), size=st.integers(0, 3 * MIB)
)
def test_it_is_of_the_whole_file(fd: int, pieces: list[tuple[int, int]], size: int) -> None:
    os.ftruncate(fd, 0)
    for offset, length in pieces:
        os.pwrite(fd, b"x" * length, offset)
    os.ftruncate(fd, size)
    moves: list[int] = []
    assert sha256_of(fd, "file", moves.append) == plain(fd)
    assert moves == sorted(moves)
    assert moves[-1:] == ([size] if size else [])


def test_holes_are_not_read(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.pwrite(fd, b"data", 20 * MIB)
    expected = plain(fd)
    read: list[int] = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: read.append(length) or real(fd, length, offset))
    assert sha256_of(fd, "file") == expected
    assert sum(read) <= MIB


def test_a_file_system_that_knows_no_holes(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.pwrite(fd, b"data", MIB)
    monkeypatch.setattr(os, "lseek", lambda *_: (_ for _ in ()).throw(OSError(errno.EINVAL, "no holes")))
    assert sha256_of(fd, "file") == plain(fd)


def test_an_endless_hole_has_an_end(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.ftruncate(fd, 8 << 40)
    monkeypatch.setattr(checksum, "LEAST_SECONDS", 0.05)
    with raises_problem("image-limits"):
        sha256_of(fd, "file")


def test_a_file_that_becomes_shorter(fd: int) -> None:
    os.pwrite(fd, b"x" * 3 * MIB, 0)
    with raises_problem("source-changed"):
        sha256_of(fd, "file", lambda _done: os.ftruncate(fd, MIB))
