"""Sparse VMDKs, good ones and every kind of bad one."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from hypersdkd.host.image_file import ImageFacts, opened
from hypersdkd.host.image_vmdk import judge, name_extent
from tests import images
from tests.problems import raises_problem

SPARSE, STREAM = "subformat=monolithicSparse", "subformat=streamOptimized"
FOOTER_MARKER, FOOTER, END = -3 * 512, -2 * 512, -512


def look(path: Path) -> ImageFacts:
    with opened(path) as image:
        return judge(image)


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    return images.make(tmp_path / "disk.vmdk", SPARSE)


@pytest.fixture
def footered(tmp_path: Path) -> Path:
    return images.footered_vmdk(tmp_path / "disk.vmdk")


@pytest.mark.parametrize("variant", ["monolithicSparse", "streamOptimized"])
@pytest.mark.parametrize("size", [16 * images.MIB, 16 * images.MIB + 3 * 512])
def test_good(tmp_path: Path, variant: str, size: int) -> None:
    facts = look(images.make(tmp_path / "disk.vmdk", f"subformat={variant}", size=size))
    assert (facts.format, facts.variant, facts.virtual_size, facts.warnings) == ("vmdk", variant, size, ())


def test_good_with_a_footer(footered: Path) -> None:
    facts = look(footered)
    assert (facts.variant, facts.virtual_size) == ("streamOptimized", 16 * images.MIB)
    origin = footered.with_name(footered.name + ".origin")
    images.qemu_img("compare", "-f", "vmdk", footered, "-F", "raw", origin)  # it is a true one


def test_zeroed_grains(tmp_path: Path) -> None:
    images.qemu_img("create", "-f", "vmdk", "-o", "zeroed_grain=on", tmp_path / "disk.vmdk", "16M")
    images.patch(tmp_path / "disk.vmdk", 0x2C00, b"\1\0\0\0")
    assert look(tmp_path / "disk.vmdk").virtual_size == 16 * images.MIB


@pytest.mark.parametrize("keep", [0.0001, 0.002, 0.5, 0.999])
@pytest.mark.parametrize("variant", [SPARSE, STREAM])
def test_cut(tmp_path: Path, variant: str, keep: float) -> None:
    path = images.make(tmp_path / "disk.vmdk", variant)
    size = path.stat().st_size - 65536 * (variant == STREAM)  # qemu-img pads these at the end
    with raises_problem("image-truncated"):
        look(images.cut(path, int(size * keep)))


@pytest.mark.parametrize("missing", [1, 512, 1024, 1536, 100_000])
def test_a_footer_that_is_not_there(footered: Path, missing: int) -> None:
    with raises_problem("image-truncated", "footer"):
        look(images.cut(footered, footered.stat().st_size - missing))


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (FOOTER_MARKER + 8, b"\1", "image-truncated"),
        (FOOTER_MARKER + 12, b"\2", "image-truncated"),
        (END, b"\1", "image-truncated"),
        (FOOTER, b"COWD", "image-invalid"),
        (FOOTER + 12, struct.pack("<Q", 32769), "image-invalid"),
        (FOOTER + 20, struct.pack("<Q", 64), "image-invalid"),
        (FOOTER + 28, struct.pack("<Q", 2), "image-invalid"),
        (FOOTER + 56, b"\xff" * 8, "image-invalid"),
        (FOOTER + 56, struct.pack("<Q", 1 << 40), "image-truncated"),
    ],
)
def test_bad_footers(footered: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(images.patch(footered, footered.stat().st_size + offset, data))


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0, b"VMDK", "image-invalid"),
        (4, struct.pack("<I", 4), "image-unsupported"),
        (8, struct.pack("<I", 3 | 1 << 16), "image-unsupported"),
        (12, struct.pack("<Q", 0), "image-invalid"),
        (12, struct.pack("<Q", 1 << 60), "image-limits"),
        (20, struct.pack("<Q", 0), "image-limits"),
        (20, struct.pack("<Q", 96), "image-limits"),
        (20, struct.pack("<Q", 1 << 40), "image-limits"),
        (28, struct.pack("<Q", 0), "image-unsupported"),
        (28, struct.pack("<Q", 2), "image-unsupported"),
        (36, struct.pack("<Q", 0), "image-unsupported"),
        (36, struct.pack("<Q", 1 << 12), "image-limits"),
        (44, struct.pack("<I", 0), "image-limits"),
        (44, struct.pack("<I", 1 << 20), "image-limits"),
        (56, struct.pack("<Q", 0), "image-invalid"),
        (56, struct.pack("<Q", 1 << 40), "image-truncated"),
        (73, b"\r\n\n\n", "image-invalid"),
        (77, struct.pack("<H", 1), "image-unsupported"),
    ],
)
def test_bad_headers(sparse: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(images.patch(sparse, offset, data))


def test_header_and_descriptor_disagree(sparse: Path) -> None:
    text = images.descriptor("streamOptimized").ljust(20 * 512, b"\0")
    with raises_problem("image-invalid", "descriptor"):
        look(images.patch(sparse, 512, text))


def test_a_parent_hidden_behind_the_descriptors_end(sparse: Path) -> None:
    with raises_problem("image-backing"):
        look(images.patch(sparse, 512 + 5000, b'parentFileNameHint="/etc/passwd"'))


def test_a_snapshot(sparse: Path, tmp_path: Path) -> None:
    images.qemu_img("create", "-f", "vmdk", "-b", sparse, "-F", "vmdk", tmp_path / "delta.vmdk")
    with raises_problem("image-backing"):
        look(tmp_path / "delta.vmdk")


def test_the_extent_gets_the_name_of_the_file(sparse: Path) -> None:
    fd = os.open(sparse, os.O_RDWR)
    try:
        before = os.pread(fd, 1 << 20, 0)
        for odd in ('quote".vmdk', "new\nline.vmdk", "x" * 20000):
            name_extent(fd, odd)
            assert os.pread(fd, 1 << 20, 0) == before
        name_extent(fd, "web 01-ü.vmdk")
    finally:
        os.close(fd)
    assert 'SPARSE "web 01-ü.vmdk"'.encode() in sparse.read_bytes()[:20000]
    assert look(sparse).variant == "monolithicSparse"
    images.qemu_img("compare", "-f", "vmdk", sparse, "-F", "raw", sparse.with_name(sparse.name + ".origin"))
