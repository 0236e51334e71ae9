"""VHDX: judge an image by its headers, regions, metadata and block table. Layout: Microsoft's open specification
MS-VHDX; all numbers are little-endian.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from hypersdkd.host.crc32c import crc32c
from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_table, check_virtual_size
from hypersdkd.host.parent import ParentClaim
from hypersdkd.host.places import Places
from hypersdkd.host.vhdx_metadata import REGION, Metadata, read_metadata
from hypersdkd.model.problem import Problem, fail

MAGIC: Final = b"vhdxfile"

_MIB: Final = 1 << 20
_HEADERS: Final = (64 << 10, 128 << 10)
_HEADER_LENGTH: Final = 4 << 10
#: Signature, checksum, sequence number, the file's, the data's and the log's id, versions of log and file, the log.
_HEADER: Final = struct.Struct("<4sIQ16s16s16sHHIQ")
_TABLES: Final = (192 << 10, 256 << 10)
_TABLE_LENGTH: Final = 64 << 10
_TABLE: Final = struct.Struct("<4sII4x")
_ENTRY: Final = struct.Struct("<16sQII")
_MAX_ENTRIES: Final = 2047
_BLOCKS: Final = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le

#: Sectors that one bitmap block has bits for.
_CHUNK: Final = 1 << 23
_STATE: Final = 7
_FULL, _PARTIAL = 6, 7
_ZERO: Final = frozenset({1, 2, 3})  # undefined, zero, unmapped
_SLICE: Final = 1 << 12  # entries of the table that are looked at in one go
_OFFSET: Final = ~(_MIB - 1) & 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Block:
    """A block that does not come from the parent: zeros, or data at byte ``data``; of which ``bitmap``, at that byte,
    says for each sector whether it is there, where it is not None."""

    number: int
    data: int | None = None
    bitmap: int | None = None


@dataclass(frozen=True, slots=True)
class Vhdx:
    """What a VHDX says of itself; ``block`` and ``sector`` in bytes. ``data_id`` changes with the content."""

    facts: ImageFacts
    data_id: bytes
    block: int
    sector: int
    table: array[int]
    parent: ParentClaim | None = None

    @property
    def chunk(self) -> int:
        """Blocks whose bits one bitmap block has."""
        return _CHUNK * self.sector // self.block

    @property
    def bitmap(self) -> int:
        """Bytes of a block's bitmap."""
        return self.block // self.sector // 8

    def blocks(self) -> Iterator[Block]:
        """Those that do not come from a parent, in order; a disk without one has zeros there."""
        count = -(-self.facts.virtual_size // self.block)
        for number in range(count):
            chunk, inside = divmod(number, self.chunk)
            entry = self.table[chunk * (self.chunk + 1) + inside]
            state = entry & _STATE
            if state == _FULL:
                yield Block(number, entry & _OFFSET)
            elif state in _ZERO:
                yield Block(number)
            elif state == _PARTIAL:
                bits = self.table[(chunk + 1) * (self.chunk + 1) - 1]
                yield Block(number, entry & _OFFSET, (bits & _OFFSET) + inside * self.bitmap)


def judge(image: ImageFile) -> ImageFacts:
    """Of a disk that is one file: see :func:`read`. Raises ``image-backing`` for a differencing one."""
    vhdx = read(image)
    if vhdx.parent is not None:
        raise fail("image-backing", f"{image.name} holds only the differences from another disk")
    if vhdx.sector != SECTOR:
        raise fail("image-unsupported", f"{image.name} has sectors of {vhdx.sector} bytes, and is a part of a file")
    return vhdx.facts


def read(image: ImageFile) -> Vhdx:
    """Read all of it but the data; raises the problem that keeps it from being read safely and whole."""
    if image.size == 0:
        raise fail("image-empty", f"{image.name} is empty")
    if not image.start(len(MAGIC)).startswith(MAGIC):
        raise fail("image-invalid", f"{image.name} does not begin like a VHDX")
    data_id, log_id = _read_header(image)
    if any(log_id):
        raise fail(
            "image-unsupported",
            f"{image.name} was in use when it was copied, or was not closed cleanly: it has a log to be replayed",
            remedy="Copy it while its machine is shut down; or let Hyper-V replay the log: `Mount-VHD -ReadOnly` of a "
            "copy and `Dismount-VHD`; or, of a copy, `qemu-img check -r all`.",
        )
    regions = _read_regions(image)
    meta = read_metadata(image, regions[REGION])
    check_virtual_size(image.name, meta.size)
    table = _read_table(image, meta, regions[_BLOCKS])
    variant = "differencing" if meta.parent else "fixed" if meta.fixed else "dynamic"
    facts = ImageFacts("vhdx", variant, meta.size, image.size, _warnings(image, meta))
    vhdx = Vhdx(facts, data_id, meta.block, meta.sector, table, meta.parent)
    _check_blocks(image, vhdx)
    return vhdx


def parent_of(image: ImageFile) -> ParentClaim | None:
    """Whose child it is, if it is one. Cheap: reads no table of blocks."""
    return read_metadata(image, _read_regions(image)[REGION]).parent


def _warnings(image: ImageFile, meta: Metadata) -> tuple[Problem, ...]:
    message = f"{image.name} is a disk with sectors of {meta.sector} bytes; its partition table counts in those"
    remedy = f"Give the guest's disk the same: <blockio logical_block_size='{meta.sector}'/> in libvirt's XML."
    return (Problem("image-unclean", message, remedy=remedy),) * (meta.sector != SECTOR)


def _read_header(image: ImageFile) -> tuple[bytes, bytes]:
    """The data's and the log's id of the header that is in force: of the valid ones that with the higher number."""
    best: tuple[int, bytes, bytes] | None = None
    for offset in _HEADERS:
        raw = image.read(offset, _HEADER_LENGTH, "header")
        magic, _, number, _, data_id, log_id, _, version, _, _ = _HEADER.unpack_from(raw)
        if magic != b"head" or not _is_intact(raw):
            continue
        if version != 1:
            raise fail("image-unsupported", f"{image.name} is VHDX version {version}; 1 is read")
        if best is None or number > best[0]:
            best = number, data_id, log_id
    if best is None:
        raise fail("image-invalid", f"{image.name} has no header with the checksum that it says")
    return best[1:]


def _is_intact(raw: bytes) -> bool:
    """Whether the checksum is that of the structure, itself taken for zero."""
    return crc32c(raw[:4] + bytes(4) + raw[8:]) == int.from_bytes(raw[4:8], "little")


def _read_regions(image: ImageFile) -> dict[bytes, tuple[int, int]]:
    """Offset and length of block table and metadata. qemu reads the first table alone, so that one must be good."""
    raw = image.read(_TABLES[0], _TABLE_LENGTH, "region table")
    image.must_hold(_TABLES[1], _TABLE_LENGTH, "region table")
    magic, _, count = _TABLE.unpack_from(raw)
    if magic != b"regi" or not _is_intact(raw) or count > _MAX_ENTRIES:
        raise fail("image-invalid", f"the region table of {image.name} makes no sense")
    regions: dict[bytes, tuple[int, int]] = {}
    for number in range(count):
        kind, offset, length, required = _ENTRY.unpack_from(raw, _TABLE.size + number * _ENTRY.size)
        if kind not in {REGION, _BLOCKS}:
            if required & 1:
                raise fail("image-unsupported", f"{image.name} has a region of an unknown kind")
            continue
        if kind in regions or offset < _MIB or offset % _MIB or length == 0 or length % _MIB:
            raise fail("image-invalid", f"the region table of {image.name} makes no sense")
        image.must_hold(offset, length, "metadata" if kind == REGION else "block table")
        regions[kind] = offset, length
    if len(regions) < 2:
        raise fail("image-invalid", f"{image.name} has no block table, or no metadata")
    return regions


def _read_table(image: ImageFile, meta: Metadata, region: tuple[int, int]) -> array[int]:
    """The entries of all blocks and, after those of each chunk, of its bitmap; in a child of the last chunk as well."""
    blocks = -(-meta.size // meta.block)
    chunk = _CHUNK * meta.sector // meta.block
    count = -(-blocks // chunk) * (chunk + 1) if meta.parent else blocks + (blocks - 1) // chunk
    length = check_table(image.name, "block table", 8 * count)
    if length > region[1]:
        raise fail("image-invalid", f"the block table of {image.name} is too small for its disk")
    table = array("Q", image.read(region[0], length, "block table"))
    if sys.byteorder == "big":
        table.byteswap()
    return table


def _check_blocks(image: ImageFile, vhdx: Vhdx) -> None:
    """Every block that is stored must lie within the file, after the headers, and be no other's."""
    size, places = vhdx.facts.virtual_size, Places(image, _MIB)
    for number, entry in enumerate(vhdx.table):
        if number % _SLICE == 0:
            image.require_time()
        chunk, inside = divmod(number, vhdx.chunk + 1)
        index = chunk * vhdx.chunk + inside
        state, offset = entry & _STATE, entry & _OFFSET
        if inside == vhdx.chunk:  # the chunk's bitmap
            length, stored = _MIB, state == _FULL and vhdx.parent is not None
        else:  # the last block may be a short one
            length, stored = max(min(vhdx.block, size - index * vhdx.block), 0), state in {_FULL, _PARTIAL}
            _check_state(image, vhdx, number, state)
        if stored:
            image.must_hold(offset, length, "data")
            if offset < _MIB or not places.take(offset):
                raise fail("image-invalid", f"the block table of {image.name} makes no sense")


def _check_state(image: ImageFile, vhdx: Vhdx, number: int, state: int) -> None:
    """Only a child has a block of which parts are elsewhere, and then also the bitmap that tells which."""
    if state in {4, 5} or (state == _PARTIAL and vhdx.parent is None):
        raise fail("image-invalid", f"the block table of {image.name} makes no sense")
    last = (number // (vhdx.chunk + 1) + 1) * (vhdx.chunk + 1) - 1
    if state == _PARTIAL and vhdx.table[last] & _STATE != _FULL:
        raise fail("image-invalid", f"{image.name} does not say which parts of a block it holds")
