"""Tables of ours over a file: each block from where it is, whatever its alignment."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.host import block_map, qemu_img
from hypersdkd.host.block_map import MappedBlock, MappedDisk, mapped
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.source_graph import over_descriptors
from hypersdkd.model.disk import FileNode, ImageNode
from tests.problems import raises_problem

BLOCK = 32 << 10
SECTORS = BLOCK // 512


def content(tmp_path: Path, disk: MappedDisk, blocks: list[MappedBlock], parent: Path | None) -> bytes:
    """What qemu reads."""
    fds = [disk.image.fd]
    base = None
    if parent is not None:
        fds.append(os.open(parent, os.O_RDONLY))
        base = ImageNode("raw", FileNode(1))
    try:
        with (
            over_descriptors(mapped(disk, blocks, base), fds) as source,
            (tmp_path / "out").open("w+b") as out,
        ):
            qemu_img.convert(source, qemu_img.Conversion("raw"), out.fileno(), timeout=60)
    finally:
        for fd in fds[1:]:
            os.close(fd)
    return (tmp_path / "out").read_bytes()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 30), sectors=st.integers(1, 1000), sparse=st.booleans())
def test_any_disk(tmp_path: Path, seed: int, sectors: int, sparse: bool) -> None:
    """Blocks at any sector in any order, with any bits, over a parent that may be shorter."""
    chance = random.Random(seed)
    size = sectors * 512
    parent = chance.randbytes(chance.randrange(1, sectors + 1) * 512)
    expected = bytearray(parent.ljust(size, b"\0"))
    file, blocks = bytearray(chance.randbytes(512 * chance.randrange(1, 40))), []
    numbers = list(range(-(-sectors // SECTORS)))
    chance.shuffle(numbers)
    for number in numbers[: len(numbers) // 2 + 1 if sparse else None]:
        kind = chance.randrange(3)
        bits = bytes([chance.choice((0, 255, chance.randrange(256))) for _ in range(SECTORS // 8)])
        offset = len(file)
        data = bytes(BLOCK) if kind == 0 else chance.randbytes(BLOCK)
        file += (data + bytes(512 * chance.randrange(3))) if kind else b""
        blocks.append(MappedBlock(number, offset if kind else None, (lambda bits=bits: bits) if kind == 2 else None))
        for sector in range(SECTORS):
            at = number * BLOCK + sector * 512
            if at < size and (kind != 2 or bits[sector // 8] >> sector % 8 & 1):
                expected[at : at + 512] = data[sector * 512 : sector * 512 + 512]
    (tmp_path / "file").write_bytes(file)
    (tmp_path / "parent").write_bytes(parent)
    with (tmp_path / "file").open("rb") as opened:
        disk = MappedDisk(ImageFile.of(opened.fileno(), "file"), 0, size, BLOCK)
        assert content(tmp_path, disk, blocks, tmp_path / "parent") == expected


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    with (tmp_path / "file").open("rb") as opened:
        image = ImageFile.of(opened.fileno(), "file")
        with raises_problem("image-unsupported"):
            mapped(MappedDisk(image, 0, 1 << 20, 8192), [], None)
        far = [MappedBlock(number << 10, 0) for number in range(4)]
        assert content(tmp_path, MappedDisk(image, 0, 1 << 20, BLOCK), [], None) == bytes(1 << 20)
        monkeypatch.setattr(block_map, "_MAX_TABLES", 3 * 16384)
        with raises_problem("image-limits"):
            mapped(MappedDisk(image, 0, 1 << 40, BLOCK), far, None)
        mapped(MappedDisk(image, 0, 1 << 40, BLOCK), far[:3], None)
