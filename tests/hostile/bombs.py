"""Small images that claim, or unpack to, more than a host has."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests import images, vhds, vmdks
from tests.hostile.bare import convert
from tests.hostile.case import HANGS, REFUSES, TAKES, Case, Place

SECTOR = 512
PIB = 1 << 50


def patched(form: str, offset: int, data: bytes, *options: str) -> Callable[[Place], Path]:
    """An image of 1 MiB, made by qemu-img, in which some bytes are others."""

    def make(place: Place) -> Path:
        path = place.here / f"disk.{form}"
        words = [word for option in options for word in ("-o", option)]
        images.qemu_img("create", "-f", form, *words, path, "1M")
        return images.patch(path, offset, data)

    return make


def created(form: str, size: str, *options: str) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        path = place.here / f"disk.{form}"
        words = [word for option in options for word in ("-o", option)]
        images.qemu_img("create", "-f", form, *words, path, size)
        return path

    return make


def text(*lines: str, kind: str = "twoGbMaxExtentFlat", more: str = "") -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        (place.here / "x").write_bytes(bytes(SECTOR))
        (place.here / "disk.vmdk").write_bytes(vmdks.text(kind, *lines, more=more))
        return place.here / "disk.vmdk"

    return make


def stream_bomb(place: Place) -> Path:
    """A grain of 64 KiB that unpacks to 64 MiB."""
    path = place.here / "disk.vmdk"
    origin = images.raw_disk(place.here / "origin", 4 << 20)
    images.qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", origin, path)
    content = bytearray(path.read_bytes())
    directory = struct.unpack_from("<Q", content, 56)[0] * SECTOR
    table = struct.unpack_from("<I", content, directory)[0] * SECTOR
    entry = next(at for at in range(table, table + 2048, 4) if content[at : at + 4] != bytes(4))
    content = content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
    struct.pack_into("<I", content, entry, len(content) // SECTOR)
    packed = zlib.compress(bytes(64 << 20), 9)
    grain = struct.pack("<QI", (entry - table) // 4 * 128, len(packed)) + packed
    path.write_bytes(content + grain.ljust(-(-len(grain) // SECTOR) * SECTOR, b"\0"))
    return path


def many_blocks(place: Place) -> Path:
    """A header that is right in itself, of a dynamic VHD with as many blocks as can be counted."""
    path = vhds.sparse(place.here / "disk.vhd", 1 << 20, {})
    header = bytearray(path.read_bytes()[SECTOR : 3 * SECTOR])
    header[28:32], header[36:40] = b"\xff" * 4, bytes(4)
    header[36:40] = struct.pack(">I", ~sum(header) & 0xFFFFFFFF)
    return images.patch(path, SECTOR, bytes(header))


def many_tables(place: Place) -> Path:
    """Every entry of the first table is the same second one, of which all entries are one cluster."""
    path = created("qcow2", "2T")(place)
    content = bytearray(path.read_bytes())
    l1_at = struct.unpack_from(">Q", content, 40)[0]
    entries = struct.unpack_from(">I", content, 36)[0]
    table = -(-len(content) // 65536) * 65536
    content[l1_at : l1_at + 8 * entries] = struct.pack(">Q", table | 1 << 63) * entries
    content = content.ljust(table, b"\0") + struct.pack(">Q", table | 1 << 63) * 8192
    path.write_bytes(content)
    return path


#: Where the test's own VHDX has its numbers.
_BLOCK, _SIZE, _SECTOR = ((2 << 20) + 65536 + more for more in (0, 8, 32))


def vhdx(offset: int, data: bytes) -> Callable[[Place], Path]:
    """A VHDX of 1 MiB in whose metadata, which have no checksum, some bytes are others."""
    return lambda place: images.patch(vhds.vhdx(place.here / "disk.vhdx", 1 << 20, {}), offset, data)


def vhdx_regions(offset: int, data: bytes) -> Callable[[Place], Path]:
    """One in whose tables of regions some bytes are others; their sums are right."""

    def make(place: Place) -> Path:
        path = vhds.vhdx(place.here / "disk.vhdx", 1 << 20, {})
        content = bytearray(path.read_bytes())
        for at in (3 << 16, 4 << 16):
            content[at + offset : at + offset + len(data)] = data
            content[at + 4 : at + 8] = bytes(4)
            content[at : at + 65536] = vhds.signed(bytes(content[at : at + 65536]))
        path.write_bytes(content)
        return path

    return make


_LIMIT = "image-limits"
_QCOW2, _VMDK, _VDI, _VPC, _VHDX = (convert(form, "qcow2") for form in ("qcow2", "vmdk", "vdi", "vpc", "vhdx"))

CASES = (
    Case(
        "a qcow2 of a pebibyte",
        "qcow2",
        patched("qcow2", 24, struct.pack(">Q", PIB)),
        _LIMIT,
        _QCOW2,
        REFUSES,
        "a file has less",
    ),
    Case(
        "a qcow2 of four exbibytes",
        "qcow2",
        patched("qcow2", 24, struct.pack(">Q", 1 << 62)),
        _LIMIT,
        _QCOW2,
        REFUSES,
        "a file has less",
    ),
    Case(
        "a first table of gigabytes",
        "qcow2",
        patched("qcow2", 36, struct.pack(">I", 1 << 31)),
        _LIMIT,
        _QCOW2,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "clusters of gigabytes",
        "qcow2",
        patched("qcow2", 20, struct.pack(">I", 31)),
        _LIMIT,
        _QCOW2,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "a million snapshots",
        "qcow2",
        patched("qcow2", 60, struct.pack(">I", 1 << 20)),
        "image-invalid",
        _QCOW2,
        REFUSES,
        "qemu knows a limit",
    ),
    Case("a table for the whole disk", "qcow2", many_tables, "no-space", _QCOW2, HANGS),
    Case(
        "a VMDK of zebibytes",
        "vmdk",
        patched("vmdk", 12, struct.pack("<Q", 1 << 60)),
        _LIMIT,
        _VMDK,
        REFUSES,
        "qemu counts in 63 bits",
    ),
    Case(
        "grains of gigabytes",
        "vmdk",
        patched("vmdk", 20, struct.pack("<Q", 1 << 30)),
        _LIMIT,
        _VMDK,
        REFUSES,
        "qemu knows a limit",
    ),
    Case("an extent of a pebibyte", "vmdk", text(f'RW {1 << 41} FLAT "x" 0'), _LIMIT, _VMDK, TAKES),
    Case("a pebibyte of zeros", "vmdk", text(f"RW {1 << 41} ZERO"), _LIMIT, _VMDK, REFUSES, "a file has less"),
    Case(
        "ten thousand extents",
        "vmdk",
        text(*['RW 1 FLAT "x" 0'] * 10_000),
        _LIMIT,
        _VMDK,
        HANGS,
    ),
    Case(
        "a descriptor of two megabytes",
        "vmdk",
        text('RW 1 FLAT "x" 0', more="#" * (2 << 20)),
        _LIMIT,
        _VMDK,
        TAKES,
    ),
    Case(
        "a grain that unpacks to a thousand times",
        "vmdk",
        stream_bomb,
        "tool-failed",
        _VMDK,
        REFUSES,
        "a grain has its size",
    ),
    Case(
        "a VDI of a pebibyte",
        "vdi",
        patched("vdi", 0x170, struct.pack("<Q", PIB)),
        _LIMIT,
        _VDI,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "a VDI of four billion blocks",
        "vdi",
        patched("vdi", 0x180, struct.pack("<I", 0xFFFFFFFF)),
        "image-limits",
        _VDI,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "a VHDX of four exbibytes",
        "vhdx",
        vhdx(_SIZE, struct.pack("<Q", 1 << 62)),
        _LIMIT,
        _VHDX,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "a VHDX of 64 TiB in blocks of 1 MiB",
        "vhdx",
        vhdx(_SIZE, struct.pack("<Q", 64 << 40)),
        _LIMIT,
        _VHDX,
        REFUSES,
        "its table is not there",
    ),
    Case(
        "a VHDX in blocks of 2 GiB",
        "vhdx",
        vhdx(_BLOCK, struct.pack("<I", 1 << 31)),
        _LIMIT,
        _VHDX,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "a VHDX in sectors of nothing",
        "vhdx",
        vhdx(_SECTOR, struct.pack("<I", 0)),
        _LIMIT,
        _VHDX,
        REFUSES,
        "qemu knows two sizes",
    ),
    Case(
        "a VHDX of four billion regions",
        "vhdx",
        vhdx_regions(8, struct.pack("<I", 0xFFFFFFFF)),
        "image-invalid",
        _VHDX,
        REFUSES,
        "qemu knows a limit",
    ),
    Case(
        "a VHDX with a table of 4 GiB",
        "vhdx",
        vhdx_regions(16 + 24, struct.pack("<I", 0xFFF00000)),
        "image-truncated",
        _VHDX,
        REFUSES,
        "beyond the end",
    ),
    Case("a VHD of four billion blocks", "vhd", many_blocks, "image-limits", _VPC, REFUSES, "qemu knows a limit"),
)
