"""The metadata of a VHDX, and every kind of bad one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests import images, vhds
from tests.host.test_image_vhdx import METADATA, MIB, ODD, WHOLE, look
from tests.problems import raises_problem


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return vhds.vhdx(tmp_path / "disk.vhdx", ODD, {0: b"x" * 512, 3 * MIB: b"y" * MIB})


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0, b"x", "image-invalid"),
        (10, struct.pack("<H", 2000), "image-invalid"),
        (10, struct.pack("<H", 2), "image-invalid"),
        (32, b"?" * 16, "image-unsupported"),
        (48, struct.pack("<I", 0), "image-invalid"),
        (48, struct.pack("<I", MIB), "image-invalid"),
        (52, struct.pack("<I", 4), "image-invalid"),
        (65536, struct.pack("<I", 3 << 20), "image-limits"),
        (65536, struct.pack("<I", 512), "image-limits"),
        (65536 + 4, struct.pack("<I", 2), "source-incomplete"),
        (65536 + 8, struct.pack("<Q", 0), "image-invalid"),
        (65536 + 8, struct.pack("<Q", 513), "image-invalid"),
        (65536 + 8, struct.pack("<Q", 1 << 50), "image-limits"),
        (65536 + 8, struct.pack("<Q", 60 << 40), "image-limits"),
        (65536 + 8, struct.pack("<Q", 1 << 40), "image-invalid"),
        (65536 + 32, struct.pack("<I", 520), "image-limits"),
    ],
)
def test_bad_metadata(disk: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(images.patch(disk, METADATA + offset, data))


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0, b"?", "image-unsupported"),
        (18, b"\xff\xff", "image-invalid"),
        (20, b"\xff\xff\xff\xff", "image-invalid"),
        (28, b"\xff\xff", "image-invalid"),
    ],
)
def test_bad_locators(tmp_path: Path, offset: int, data: bytes, code: str) -> None:
    path = vhds.vhdx(tmp_path / "a.avhdx", ODD, {}, parent=WHOLE)
    with raises_problem(code):
        look(images.patch(path, METADATA + 65536 + 40 + offset, data))


@pytest.mark.parametrize("linkage", ["", "{1}", "{00000000-0000-0000-0000-000000000000}"])
def test_bad_linkages(tmp_path: Path, linkage: str) -> None:
    with raises_problem("image-invalid", "whose child"):
        look(vhds.vhdx(tmp_path / "a.avhdx", ODD, {}, parent={"parent_linkage": linkage}))
