"""VDI images, good ones and every kind of bad one."""

from __future__ import annotations

import struct
import tracemalloc
import uuid
from pathlib import Path

import pytest

from hypersdkd.host.image_file import ImageFacts, opened
from hypersdkd.host.image_vdi import judge
from tests import images
from tests.problems import raises_problem


def look(path: Path) -> ImageFacts:
    with opened(path) as image:
        return judge(image)


@pytest.mark.parametrize(("options", "variant"), [((), "dynamic"), (("static=on",), "static")])
@pytest.mark.parametrize("size", [16 * images.MIB, 16 * images.MIB + 3 * 512])
def test_good(tmp_path: Path, options: tuple[str, ...], variant: str, size: int) -> None:
    facts = look(images.make(tmp_path / "disk.vdi", *options, size=size))
    assert (facts.format, facts.variant, facts.virtual_size) == ("vdi", variant, size)


def test_a_disk_without_data(tmp_path: Path) -> None:
    images.qemu_img("create", "-f", "vdi", tmp_path / "disk.vdi", "1G")
    assert look(tmp_path / "disk.vdi").virtual_size == 1 << 30


@pytest.mark.parametrize("keep", [0.00001, 0.0002, 0.5, 0.999])
def test_cut(tmp_path: Path, keep: float) -> None:
    path = images.make(tmp_path / "disk.vdi")
    with raises_problem("image-truncated"):
        look(images.cut(path, int(path.stat().st_size * keep)))


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0x40, bytes(4), "image-invalid"),
        (0x44, struct.pack("<I", 0x20001), "image-unsupported"),
        (0x4C, struct.pack("<I", 4), "image-backing"),
        (0x4C, struct.pack("<I", 3), "image-backing"),
        (0x4C, struct.pack("<I", 5), "image-unsupported"),
        (0x1A8, b"\1", "image-backing"),
        (0x1B8, b"\1", "image-backing"),
        (0x154, struct.pack("<I", 0), "image-invalid"),
        (0x154, struct.pack("<I", 513), "image-invalid"),
        (0x158, struct.pack("<I", 513), "image-invalid"),
        (0x158, b"\0\xfe\xff\xff", "image-truncated"),
        (0x168, struct.pack("<I", 4096), "image-unsupported"),
        (0x170, struct.pack("<Q", 0), "image-invalid"),
        (0x170, struct.pack("<Q", 1 << 62), "image-limits"),
        (0x170, struct.pack("<Q", 1 << 30), "image-invalid"),
        (0x178, struct.pack("<I", 0), "image-unsupported"),
        (0x17C, struct.pack("<I", 8), "image-unsupported"),
        (0x180, b"\xff\xff\xff\xff", "image-limits"),
        (0x180, struct.pack("<I", 17), "image-invalid"),
        (0x180, struct.pack("<I", 15), "image-invalid"),
        (0x170, struct.pack("<Q", 15 * images.MIB), "image-invalid"),
        (0x170, struct.pack("<Q", 16 * images.MIB + 1), "image-invalid"),
        (0x200, struct.pack("<I", 0xFFFFFFFD), "image-truncated"),
    ],
)
def test_bad_fields(tmp_path: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(images.patch(images.make(tmp_path / "disk.vdi"), offset, data))


@pytest.mark.parametrize("size", [512, images.MIB - 512, images.MIB, images.MIB + 512, 16 * images.MIB + 1])
def test_the_last_block_may_be_used_in_part(tmp_path: Path, size: int) -> None:
    images.qemu_img("create", "-f", "vdi", tmp_path / "disk.vdi", str(size))
    assert look(tmp_path / "disk.vdi").virtual_size == -(-size // 512) * 512


def test_a_child_names_its_parent(tmp_path: Path) -> None:
    """A bare qemu-img makes zeros of what the parent has, and exits with 0."""
    path = images.make(tmp_path / "disk.vdi")
    images.patch(path, 0x4C, struct.pack("<I", 4))
    images.patch(path, 0x1A8, uuid.UUID("12345678-9abc-def0-1234-56789abcdef0").bytes_le)
    with raises_problem("image-backing", "12345678-9abc-def0-1234-56789abcdef0") as caught:
        look(path)
    assert "clonemedium" in caught[0].remedy


def test_a_long_map_is_read_in_slices(tmp_path: Path) -> None:
    blocks = 1 << 20
    header = bytearray(512)
    struct.pack_into("<4sIII", header, 0x40, b"\x7f\x10\xda\xbe", 0x00010001, 400, 1)
    struct.pack_into("<II", header, 0x154, 512, 512 + 4 * blocks)
    struct.pack_into("<I", header, 0x168, 512)
    struct.pack_into("<QIIII", header, 0x170, blocks << 20, 1 << 20, 0, blocks, 0)
    path = tmp_path / "disk.vdi"
    with path.open("wb") as file:
        file.write(header)
        file.write(b"\xff" * (4 * blocks))
        file.truncate(512 + 4 * blocks + (1 << 20))
    tracemalloc.start()
    try:
        assert look(path).virtual_size == blocks << 20
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    with path.open("r+b") as file:
        file.seek(512 + 4 * (blocks - 1))
        file.write(struct.pack("<I", 1))
    with raises_problem("image-truncated"):
        look(path)


def test_a_block_that_is_named_twice(tmp_path: Path) -> None:
    """As by a flipped bit: qemu-img converts it without a word, to a disk with one block's content in two places."""
    path = images.make(tmp_path / "disk.vdi", form="vdi")
    table = list(struct.unpack("<16I", path.read_bytes()[512:576]))
    stored = [number for number, entry in enumerate(table) if entry < 0xFFFF_FFFE]
    table[stored[1]] = table[stored[0]]
    with raises_problem("image-invalid", "names a block twice"):
        look(images.patch(path, 512, struct.pack("<16I", *table)))
