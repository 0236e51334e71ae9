"""VHDs and VHDXs that qemu-img does not make, by their published layouts."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from pathlib import Path

from hypersdkd.host.crc32c import crc32c

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
            if number not in blocks:
                blocks[number] = bytearray(bitmap_size), bytearray(filler)
            bitmap, content = blocks[number]
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


_REGION_BLOCKS = "2dc27766-f623-4200-9d64-115e9bfd4a08"
_REGION_METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
_PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
_DISK_ID = "beca12ab-b2e6-4523-93ef-c309e000c746"
_LOGICAL = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
_PHYSICAL = "cda348c7-445d-4471-9cc9-e9885251c556"
_LOCATOR = "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
_LOCATOR_TYPE = "b04aefb7-d19e-4a81-b789-25b8e9445913"

#: Ids of the content of disks, as they stand in headers.
BASE_ID = guid("11111111-2222-3333-4444-555555555555")
CHILD_ID = guid("aaaaaaaa-2222-3333-4444-555555555555")


def signed(raw: bytes | bytearray) -> bytes:
    """A structure of a VHDX with its checksum, which stands at byte 4."""
    plain = bytes(raw[:4]) + bytes(4) + bytes(raw[8:])
    return plain[:4] + struct.pack("<I", crc32c(plain)) + plain[8:]


def locator(pairs: Mapping[str, str]) -> bytes:
    """Whose child a VHDX is."""
    rows, texts = b"", b""
    at = 20 + 12 * len(pairs)
    for key, value in pairs.items():
        one, two = key.encode("utf-16-le"), value.encode("utf-16-le")
        rows += struct.pack("<IIHH", at + len(texts), at + len(texts) + len(one), len(one), len(two))
        texts += one + two
    return guid(_LOCATOR_TYPE) + struct.pack("<HH", 0, len(pairs)) + rows + texts


def _metadata(size: int, block: int, flags: int, sector: int, whose: bytes) -> bytes:
    items = [
        (_PARAMETERS, 4, struct.pack("<II", block, flags)),
        (_SIZE, 6, struct.pack("<Q", size)),
        (_DISK_ID, 6, b"p" * 16),
        (_LOGICAL, 6, struct.pack("<I", sector)),
        (_PHYSICAL, 6, struct.pack("<I", 4096)),
    ]
    items += [(_LOCATOR, 4, whose)] if whose else []
    out = b"metadata" + struct.pack("<HH20x", 0, len(items))
    area = b""
    for kind, bits, value in items:
        out += guid(kind) + struct.pack("<IIII", 65536 + len(area), len(value), bits, 0)
        area += value
    return (out.ljust(65536, b"\0") + area).ljust(MIB, b"\0")


def vhdx(
    path: Path,
    size: int,
    writes: Mapping[int, bytes],
    *,
    parent: Mapping[str, str] | None = None,
    data_id: bytes = CHILD_ID,
    log_id: bytes = bytes(16),
    block: int = MIB,
    sector: int = SECTOR,
    states: Mapping[int, int] | None = None,
) -> Path:
    """A dynamic VHDX, or the differences from ``parent``, its locator's pairs. Written are whole sectors; what a block
    has besides is rubbish that its bitmap denies, in a child, and zeros else. ``states`` are those of other blocks."""
    chunk = (1 << 23) * sector // block
    count = -(-size // block)
    child = parent is not None
    table = [0] * (-(-count // chunk) * (chunk + 1))
    for number, state in (states or {}).items():
        table[number + number // chunk] = state
    filler = (b"rubbish!" if child else bytes(8)) * (block // 8)
    contents: dict[int, bytearray] = {}
    bitmaps: dict[int, bytearray] = {}
    for offset, data in sorted(writes.items()):
        for place in range(offset, offset + len(data), sector):
            number, inside = divmod(place, block)
            if number not in contents:
                contents[number] = bytearray(filler)
            if number // chunk not in bitmaps:
                bitmaps[number // chunk] = bytearray(MIB)
            contents[number][inside : inside + sector] = data[place - offset : place - offset + sector]
            bit = place // sector
            bitmaps[number // chunk][bit // 8 % MIB] |= 1 << bit % 8
    table_size = -(-8 * len(table) // MIB) * MIB
    at, areas = 3 * MIB + table_size, bytearray()
    for group, bitmap in bitmaps.items():
        if child:
            table[(group + 1) * (chunk + 1) - 1] = at + len(areas) | 6
            areas += bitmap
    for number in reversed(contents):  # not in the order of the disk
        bits = bitmaps[number // chunk]
        first, length = number % chunk * block // sector // 8, block // sector // 8
        whole = not child or bits[first : first + length] == b"\xff" * length
        table[number + number // chunk] = at + len(areas) | (6 if whole else 7)
        areas += contents[number]
    head = struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, 7, b"w" * 16, data_id, log_id, 0, 1, MIB, MIB)
    regions = b"regi" + struct.pack("<III", 0, 2, 0)
    regions += guid(_REGION_BLOCKS) + struct.pack("<QII", 3 * MIB, table_size, 1)
    regions += guid(_REGION_METADATA) + struct.pack("<QII", 2 * MIB, MIB, 1)
    out = b"vhdxfile".ljust(65536, b"\0")
    out += signed(head.replace(struct.pack("<Q", 7), struct.pack("<Q", 6), 1).ljust(4096, b"\0")).ljust(65536, b"\0")
    out += signed(head.ljust(4096, b"\0")).ljust(65536, b"\0")
    out += signed(regions.ljust(65536, b"\0")) * 2
    whose = locator(parent) if parent is not None else b""
    out = out.ljust(2 * MIB, b"\0") + _metadata(size, block, 2 if child else 0, sector, whose)
    path.write_bytes(out + struct.pack(f"<{len(table)}Q", *table).ljust(table_size, b"\0") + areas)
    return path


def linkage(data_id: bytes, name: str = "base.vhdx") -> dict[str, str]:
    """The locator's pairs of a child of that disk, as Hyper-V writes them."""
    return {
        "parent_linkage": f"{{{uuid.UUID(bytes_le=data_id)}}}".upper(),
        "relative_path": f".\\{name}",
        "absolute_win32_path": f"C:\\VMs\\{name}",
    }


def signed_again(raw: bytearray) -> bytearray:
    """A VHD whose footers and header have the checksums that their content asks for."""
    spans = [(len(raw) - SECTOR, SECTOR, 64)]
    spans += [(0, SECTOR, 64), (SECTOR, 1024, 36)] if raw.startswith(b"conectix") else []
    for start, length, at in spans:
        part = raw[start : start + length]
        part[at : at + 4] = bytes(4)
        raw[start + at : start + at + 4] = struct.pack(">I", _checksum(part))
    return raw
