"""Keys outlive the daemon, are bounded, and a torn file is no key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.engine.key_book import KeyBook, Submitted

RECORD = Submitted("digest", "web01.json", "/q/web01.json")


def test_what_is_written_is_read_by_the_next_daemon(tmp_path: Path) -> None:
    KeyBook(tmp_path / "keys").write("uid=5/a\0/../\ud800", RECORD)
    book = KeyBook(tmp_path / "keys")
    assert book.read("uid=5/a\0/../\ud800") == RECORD
    assert book.read("uid=6/a\0/../\ud800") is None
    book.forget("uid=5/a\0/../\ud800")
    book.forget("uid=5/a\0/../\ud800")
    assert book.read("uid=5/a\0/../\ud800") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"\xff"])
def test_what_is_no_record_is_no_key(tmp_path: Path, content: bytes) -> None:
    book = KeyBook(tmp_path)
    book.write("key", RECORD)
    next(tmp_path.iterdir()).write_bytes(content)
    assert book.read("key") is None


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    book = KeyBook(tmp_path, limit=10, at_once=3)
    for number in range(10):
        book.write(f"{number}", RECORD)
        for file in tmp_path.iterdir():  # each is a second older than the next
            os.utime(file, (file.stat().st_mtime - 1,) * 2)
    book = KeyBook(tmp_path, limit=10, at_once=3)
    book.write("new", RECORD)
    assert [number for number in range(10) if book.read(f"{number}") is None] == [0, 1, 2]
    assert book.read("new") == RECORD


def test_a_key_that_is_written_again_pushes_nothing_out(tmp_path: Path) -> None:
    book = KeyBook(tmp_path, limit=3, at_once=1)
    book.write("a", RECORD)
    for _ in range(10):
        book.write("b", RECORD)
    assert book.read("a") == RECORD
