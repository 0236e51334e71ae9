"""VHDs and VHDXs that qemu-img does not make, by their published layouts."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from pathlib import Path

SECTOR = 512
MIB = 1 << 20
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4


def _checksum(raw: bytes | bytearray) -> int:
    return ~sum(raw) & 0xFFFFFFFF


def footer(kind: int, size: int, uid: bytes, creator: bytes = b"win ", cylinders: int = 1, header: int = -1) -> bytes:
    """The footer of a VHD; the geometry is far less than the size."""
    at = (1 << 64) - 1 if kind == FIXED else SECTOR
    at = at if header < 0 else header
    geometry = struct.pack(">HBB", cylinders, 4, 17)
    fields = struct.pack(
        ">8sIIQI4sI4sQQ4sI", b"conectix", 2, 0x10000, at, 7, creator, 0x60001, b"Wi2k", size, size, geometry, kind
    )
    plain = (fields + bytes(4) + uid).ljust(SECTOR, b"\0")
    return fields + struct.pack(">I", _checksum(plain)) + plain[68:]


def fixed(path: Path, data: bytes, uid: bytes = b"f" * 16, **more: object) -> Path:
    """A fixed disk, as Hyper-V and Azure make it: the content and a footer."""
    path.write_bytes(data + footer(FIXED, len(data), uid, **more))  # type: ignore[arg-type]
    return path


def sparse(
    path: Path,
    size: int,
    writes: Mapping[int, bytes],
    *,
    parent: tuple[str, bytes] | None = None,
    uid: bytes = b"d" * 16,
    block: int = 2 * MIB,
    aligned: bool = False,
    stamp: int = 0,
    locators: Mapping[bytes, bytes] | None = None,
) -> Path:
    """A dynamic disk, or the differences from ``parent``: a path on a Windows machine, and an id. Written are whole
    sectors; what a block has besides is rubbish that its bitmap denies, in a child, and zeros else. ``aligned``: data
    begins at multiples of 4 KiB, as today's Hyper-V and XenServer have it."""
    entries = -(-size // block)
    kind = DYNAMIC if parent is None else DIFFERENCING
    name, parent_uid = parent or ("", bytes(16))
    texts = dict(locators or {})
    if parent is not None and locators is None:
        texts = {b"W2ru": f".\\{name.rpartition(chr(92))[2]}".encode("utf-16-le"), b"W2ku": name.encode("utf-16-le")}
    table_at = 4096
    at = table_at + -(-4 * entries // SECTOR) * SECTOR
    rows, areas = b"", b""
    for code, text in texts.items():
        rows += struct.pack(">4sIIIQ", code, 1, len(text), 0, at + len(areas))
        areas += text.ljust(-(-len(text) // SECTOR) * SECTOR, b"\0")
    header = bytearray(
        struct.pack(">8sQQIII", b"cxsparse", (1 << 64) - 1, table_at, 0x10000, entries, block)
        + bytes(4)
        + parent_uid
        + struct.pack(">II", stamp, 0)
        + name.rpartition("\\")[2].encode("utf-16-be").ljust(512, b"\0")
        + rows
    ).ljust(1024, b"\0")
    header[36:40] = struct.pack(">I", _checksum(header))
    start = footer(kind, size, uid)
    bitmap_size = -(-block // (8 * SECTOR * SECTOR)) * SECTOR
    blocks: dict[int, tuple[bytearray, bytearray]] = {}
    filler = (b"rubbish!" if parent else bytes(8)) * (block // 8)
    for offset, data in sorted(writes.items()):
        for place in range(offset, offset + len(data), SECTOR):
            number, inside = divmod(place, block)
            bitmap, content = blocks.setdefault(number, (bytearray(bitmap_size), bytearray(filler)))
            content[inside : inside + SECTOR] = data[place - offset : place - offset + SECTOR]
            bitmap[inside // SECTOR // 8] |= 0x80 >> inside // SECTOR % 8
    body = start + bytes(header)
    table = [0xFFFFFFFF] * entries
    out = bytearray(body.ljust(at, b"\0") + areas)
    for number in reversed(blocks):  # not in the order of the disk
        bitmap, content = blocks[number]
        if aligned:
            out += bytes(-(len(out) + bitmap_size) % 4096)
        table[number] = len(out) // SECTOR
        out += bitmap + content
    out[table_at : table_at + 4 * entries] = struct.pack(f">{entries}I", *table)
    path.write_bytes(bytes(out) + start)
    return path


def guid(text: str) -> bytes:
    """A GUID as it stands in a VHDX."""
    return uuid.UUID(text).bytes_le
