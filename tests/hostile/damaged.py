"""Images of each format, cut short or with bits flipped: content is lost without a word."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests import images, vmdks
from tests.hostile.bare import convert
from tests.hostile.case import REFUSES, TAKES, Case, Place

_DRIVERS = {"vhd": "vpc"}


def image(kind: str, *options: str) -> Callable[[Place], Path]:
    """A disk of 5 MiB with content at its start and end."""

    def make(place: Place) -> Path:
        origin, path = place.here / "origin", place.here / f"disk.{kind}"
        origin.write_bytes(vmdks.content())
        words = [word for option in options for word in ("-o", option)]
        images.qemu_img("convert", "-f", "raw", "-O", _DRIVERS.get(kind, kind), *words, origin, path)
        origin.unlink()
        return path

    return make


def cut(make: Callable[[Place], Path], part: float) -> Callable[[Place], Path]:
    def both(place: Place) -> Path:
        path = make(place)
        return images.cut(path, int(path.stat().st_size * part))

    return both


def flipped(make: Callable[[Place], Path], where: Callable[[bytes], int], mask: int = 0xFF) -> Callable[[Place], Path]:
    """The bits of ``mask`` flipped in one byte."""

    def both(place: Place) -> Path:
        path = make(place)
        content = path.read_bytes()
        return images.patch(path, where(content), bytes([content[where(content)] ^ mask]))

    return both


def patched(make: Callable[[Place], Path], offset: int, data: bytes) -> Callable[[Place], Path]:
    return lambda place: images.patch(make(place), offset, data)


def at(offset: int) -> Callable[[bytes], int]:
    return lambda _content: offset


def behind(pointer: str, field: int, unit: int, more: int) -> Callable[[bytes], int]:
    """``more`` bytes behind where a field of the header points, in units."""
    return lambda content: struct.unpack_from(pointer, content, field)[0] * unit + more


def short_extent(place: Place) -> Path:
    path = vmdks.esx_flat(place.here, "disk", vmdks.content())
    images.cut(place.here / "disk-flat.vmdk", 1 << 20)
    return path


def empty(name: str) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        (place.here / name).touch()
        return place.here / name

    return make


MIB_LITTLE = struct.pack("<Q", vmdks.MIB)
QCOW2, VMDK, STREAM = image("qcow2"), image("vmdk"), image("vmdk", "subformat=streamOptimized")
VDI, VHDX = image("vdi"), image("vhdx")
VHD, FIXED = image("vhd", "subformat=dynamic"), image("vhd", "subformat=fixed", "force_size=on")
_CUT, _BAD = "image-truncated", "image-invalid"


def _row(name: str, kind: str, make: Callable[[Place], Path], code: str, does: str, why: str = "") -> Case:
    return Case(name, kind, make, code, convert(_DRIVERS.get(kind, kind)), does, why)


CASES = (
    _row("half a qcow2", "qcow2", cut(QCOW2, 0.5), _CUT, TAKES),
    _row("nine tenths of a qcow2", "qcow2", cut(QCOW2, 0.9), _CUT, TAKES),
    _row("half a VMDK", "vmdk", cut(VMDK, 0.5), _CUT, TAKES),
    _row("half a streamOptimized VMDK", "vmdk", cut(STREAM, 0.5), _CUT, REFUSES, "its end is missing"),
    _row("a short extent", "vmdk", short_extent, _CUT, TAKES),
    _row("half a VDI", "vdi", cut(VDI, 0.5), _CUT, TAKES),
    _row("half a VHD", "vhd", cut(VHD, 0.5), _CUT, REFUSES, "its end is missing"),
    _row("half a fixed VHD", "vhd", cut(FIXED, 0.5), _CUT, REFUSES, "its end is missing"),
    _row("half a VHDX", "vhdx", cut(VHDX, 0.5), _CUT, REFUSES, "its tables are missing"),
    _row("an empty qcow2", "qcow2", empty("disk.qcow2"), "image-empty", REFUSES, "it has no header"),
    _row("an empty raw disk", "raw", empty("disk.raw"), "image-empty", TAKES),
    _row(
        "a flipped bit in a qcow2's first table's place",
        "qcow2",
        flipped(QCOW2, at(45), 0x40),
        "image-truncated",
        TAKES,
    ),
    _row(
        "a flipped byte in a qcow2's first table",
        "qcow2",
        flipped(QCOW2, behind(">Q", 40, 1, 5)),
        "image-truncated",
        TAKES,
    ),
    _row(
        "a flipped bit in a qcow2's features",
        "qcow2",
        flipped(QCOW2, at(79), 0x80),
        "image-unsupported",
        REFUSES,
        "it is unknown",
    ),
    _row(
        "a flipped byte in a VMDK's directory",
        "vmdk",
        flipped(VMDK, behind("<Q", 56, 512, 2)),
        "image-truncated",
        TAKES,
    ),
    _row("a VMDK of less than its descriptor says", "vmdk", patched(VMDK, 12, struct.pack("<Q", 2048)), _BAD, TAKES),
    _row("a streamed VMDK of less", "vmdk", patched(STREAM, 12, struct.pack("<Q", 2048)), _BAD, TAKES),
    _row("a VDI of less than its blocks", "vdi", patched(VDI, 0x170, MIB_LITTLE), _BAD, TAKES),
    _row("a qcow2 of less than it holds", "qcow2", patched(QCOW2, 24, MIB_LITTLE[::-1]), _BAD, TAKES),
    _row("a flipped byte in a VMDK's size", "vmdk", flipped(VMDK, at(18)), "image-limits", REFUSES, "a file has less"),
    _row(
        "a flipped byte in a stream's grain",
        "vmdk",
        flipped(STREAM, at(0x10000 + 40)),
        "tool-failed",
        REFUSES,
        "no zlib",
    ),
    _row("a flipped bit in a VDI's block map", "vdi", flipped(VDI, at(512 + 1), 0x40), "image-truncated", TAKES),
    _row("a flipped bit in a VDI's kind", "vdi", flipped(VDI, at(0x4C), 0x04), "image-unsupported", TAKES),
    _row(
        "a flipped bit in a VHD's footer",
        "vhd",
        flipped(FIXED, at(vmdks.ODD + 53), 0x40),
        "image-invalid",
        REFUSES,
        "a sum",
    ),
    _row(
        "a flipped bit in a VHD's table",
        "vhd",
        flipped(VHD, at(1537), 0x40),
        "image-truncated",
        REFUSES,
        "beyond the end",
    ),
    _row(
        "a flipped bit in a VHDX's regions",
        "vhdx",
        flipped(VHDX, at(0x30000 + 40), 0x40),
        "image-invalid",
        REFUSES,
        "a sum",
    ),
    _row(
        "a flipped bit in a VHDX's metadata",
        "vhdx",
        flipped(VHDX, at(0x300000 + 5), 0x40),
        "image-invalid",
        REFUSES,
        "beyond the end",
    ),
)
