"""VHDX images, good ones and every kind of bad one."""

from __future__ import annotations

import itertools
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.host import image_file
from hypersdkd.host.image_file import opened
from hypersdkd.host.image_vhdx import Vhdx, judge, read
from tests import images, vhds
from tests.problems import raises_problem

MIB = images.MIB
ODD = 5 * MIB + 3 * 512
REGIONS, METADATA, BLOCKS = 192 << 10, 2 * MIB, 3 * MIB
WHOLE = vhds.linkage(vhds.BASE_ID)


def look(path: Path) -> Vhdx:
    with opened(path) as image:
        return read(image)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return vhds.vhdx(tmp_path / "disk.vhdx", ODD, {0: b"x" * 512, 3 * MIB: b"y" * MIB})


def signed(path: Path, at: int, offset: int, data: bytes, length: int = 65536) -> Path:
    """Change a structure, and its checksum with it."""
    raw = bytearray(path.read_bytes()[at : at + length])
    raw[offset : offset + len(data)] = data
    return images.patch(path, at, vhds.signed(raw))


@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
@pytest.mark.parametrize("size", [16 * MIB, 16 * MIB + 3 * 512])
def test_good(tmp_path: Path, kind: str, size: int) -> None:
    facts = look(images.make(tmp_path / "disk.vhdx", f"subformat={kind}", size=size)).facts
    assert (facts.format, facts.variant, facts.virtual_size, facts.warnings) == ("vhdx", kind, size, ())


def test_large_and_empty(tmp_path: Path) -> None:
    images.qemu_img("create", "-f", "vhdx", tmp_path / "disk.vhdx", "5T")
    assert look(tmp_path / "disk.vhdx").facts.virtual_size == 5 << 40


def test_blocks(disk: Path) -> None:
    vhdx = look(disk)
    assert (vhdx.block, vhdx.sector, vhdx.chunk, vhdx.bitmap) == (MIB, 512, 4096, 256)
    assert [(block.number, block.data) for block in vhdx.blocks()] == [(0, 5 * MIB), (3, 4 * MIB)]


def test_a_child(tmp_path: Path) -> None:
    path = vhds.vhdx(tmp_path / "a.avhdx", ODD, {0: b"x" * 512, 3 * MIB: b"y" * MIB}, parent=WHOLE, states={2: 3})
    vhdx = look(path)
    assert vhdx.parent is not None
    assert (vhdx.facts.variant, vhdx.parent.names) == ("differencing", ("base.vhdx",))
    assert (vhdx.parent.ids, vhdx.data_id) == ({vhds.BASE_ID}, vhds.CHILD_ID)
    found = [(block.number, block.data, block.bitmap) for block in vhdx.blocks()]
    assert found == [(0, 6 * MIB, 4 * MIB), (2, None, None), (3, 5 * MIB, None)]
    with opened(path) as image, raises_problem("image-backing"):
        judge(image)


@pytest.mark.parametrize("keep", [0.0001, 0.01, 0.02, 0.1, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
def test_cut(tmp_path: Path, kind: str, keep: float) -> None:
    path = images.make(tmp_path / "disk.vhdx", f"subformat={kind}")
    with raises_problem("image-truncated"):
        look(images.cut(path, int(path.stat().st_size * keep)))


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "disk.vhdx").touch()
    with raises_problem("image-empty"):
        look(tmp_path / "disk.vhdx")


def test_the_last_block_may_be_a_short_one(disk: Path) -> None:
    path = vhds.vhdx(disk, ODD, {5 * MIB: b"z" * 1536})
    assert look(images.cut(path, 4 * MIB + 1536)).facts.virtual_size == ODD
    with raises_problem("image-truncated"):
        look(images.cut(path, 4 * MIB + 1535))


def test_a_log_that_is_not_empty(tmp_path: Path) -> None:
    with raises_problem("image-unsupported", "log"):
        look(vhds.vhdx(tmp_path / "disk.vhdx", ODD, {}, log_id=b"l" * 16))


def test_of_two_headers_the_newer_counts_and_one_will_do(disk: Path) -> None:
    signed(disk, 65536, 48, b"l" * 16, 4096)  # of the older one
    assert look(disk).data_id == vhds.CHILD_ID
    images.patch(disk, 131072 + 100, b"\1")
    with raises_problem("image-unsupported", "log"):
        look(disk)
    images.patch(disk, 65536 + 100, b"\1")
    with raises_problem("image-invalid", "checksum"):
        look(disk)


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (8, struct.pack("<I", 2048), "image-invalid"),
        (8, struct.pack("<I", 1), "image-invalid"),
        (16, b"?" * 16, "image-unsupported"),
        (32, struct.pack("<Q", 1 << 40), "image-truncated"),
        (32, struct.pack("<Q", 3 * MIB + 512), "image-invalid"),
        (32, struct.pack("<Q", 0), "image-invalid"),
        (40, struct.pack("<I", 0), "image-invalid"),
    ],
)
def test_bad_regions(disk: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(signed(disk, REGIONS, offset, data))
    images.patch(disk, REGIONS, b"xxxx")
    with raises_problem("image-invalid"):
        look(disk)


def test_another_version(disk: Path) -> None:
    with raises_problem("image-unsupported", "version 2"):
        look(signed(disk, 131072, 66, struct.pack("<H", 2), 4096))


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (7 | 4 * MIB, "image-invalid"),  # parts elsewhere, without a parent
        (4, "image-invalid"),
        (6, "image-invalid"),  # in the headers
        (6 | 4 * MIB, "image-invalid"),  # where another block is
        (6 | 900 * MIB, "image-truncated"),
    ],
)
def test_bad_blocks(disk: Path, entry: int, code: str) -> None:
    with raises_problem(code):
        look(images.patch(disk, BLOCKS, struct.pack("<Q", entry)))


def test_a_child_without_a_bitmap(tmp_path: Path) -> None:
    path = vhds.vhdx(tmp_path / "a.avhdx", ODD, {0: b"x" * 512}, parent=WHOLE)
    with raises_problem("image-invalid", "which parts"):
        look(images.patch(path, BLOCKS + 8 * 4096, bytes(8)))


def test_a_large_table_is_given_up_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at in the daemon as well, where 32 MiB of table took many seconds."""
    path = vhds.vhdx(tmp_path / "disk.vhdx", 200_000 * MIB, {})
    assert look(path).facts.virtual_size == 200_000 * MIB
    clock = itertools.count()
    monkeypatch.setattr(image_file.time, "monotonic", lambda: next(clock))
    with opened(path) as image, raises_problem("image-limits", "time"):
        read(replace(image, until=next(clock) + 25))
