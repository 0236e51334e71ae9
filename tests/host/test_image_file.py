"""Bounded reads of an open image."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.host.image_file import MAX_TABLE, MAX_VIRTUAL_SIZE, check_table, check_virtual_size, opened
from tests.problems import raises_problem


def test_reads_stay_within_the_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    with opened(tmp_path / "x") as image:
        assert image.read(2, 3, "part") == b"234"
        assert (image.start(4), image.end(4), image.end(99)) == (b"0123", b"6789", b"0123456789")
        with raises_problem("image-truncated", "header ends at byte 12"):
            image.read(8, 4, "header")


def test_a_part_of_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    with opened(tmp_path / "x") as image:
        part = image.part(2, 6, "member\n").part(1, 4, "inner")
        assert (part.read(1, 2, "data"), part.start(99), part.end(3), part.size) == (b"45", b"3456", b"456", 4)
        with raises_problem("image-truncated", "inner has 4 bytes"):
            part.read(2, 3, "data")
        with raises_problem("image-truncated"):
            image.part(8, 3, "beyond")


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    with opened(tmp_path / "x") as image:
        os.truncate(tmp_path / "x", 5)
        with raises_problem("source-changed"):
            image.read(2, 6, "part")


def test_reading_ends_when_its_time_is_over(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    with opened(tmp_path / "x", seconds=-1) as image, raises_problem("image-limits", "time"):
        image.read(0, 1, "part")


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/null"), tmp_path):
        with raises_problem("source-not-regular"), opened(path):
            pass


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    (tmp_path / "link").symlink_to("x")
    with pytest.raises(OSError, match="symbolic"), opened(tmp_path / "link"):
        pass


def test_limits() -> None:
    assert check_virtual_size("x", MAX_VIRTUAL_SIZE) == MAX_VIRTUAL_SIZE
    with raises_problem("image-limits"):
        check_virtual_size("x", MAX_VIRTUAL_SIZE + 1)
    with raises_problem("image-invalid"):
        check_virtual_size("x", 0)
    assert check_table("x", "map", MAX_TABLE) == MAX_TABLE
    with raises_problem("image-limits"):
        check_table("x", "map", MAX_TABLE + 1)
