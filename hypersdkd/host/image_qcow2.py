"""qcow2: judge an image by its header and its tables. Layout: qemu's docs/interop/qcow2.txt."""

from __future__ import annotations

import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_table, check_virtual_size
from hypersdkd.model.problem import Problem, fail, one_line

MAGIC: Final = b"QFI\xfb"

_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES: Final = struct.Struct(">QQQII")
_V2_LENGTH: Final = 72
_V3_LENGTH: Final = 104

#: Bytes of a backing file's name at most, by the format.
_NAME_LIMIT: Final = 1023

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_FEATURES: Final = 0b11111
_EXTENSION_DATA_FILE: Final = 0x44415441
_EXTENSION_BACKING_FORMAT: Final = 0xE2792ACA
_OFFSET_MASK: Final = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED: Final = 1 << 62
_COPIED: Final = 1 << 63
_ZERO: Final = 1

#: How a machine's saved state begins (qemu's migration/savevm.c). It lies behind the disk's end, at the first table
#: that is not the disk's, and stays there when the snapshot that it is of was reverted to and removed.
_SAVED_STATE: Final = b"QEVM"


@dataclass(frozen=True, slots=True)
class _Header:
    version: int
    cluster_bits: int
    virtual_size: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    features: int
    length: int
    snapshots: int

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits

    @property
    def entry_size(self) -> int:
        """Bytes of an L2 entry."""
        return 16 if self.features & _EXTENDED_L2 else 8


@dataclass(frozen=True, slots=True)
class Qcow2:
    """What a qcow2 says of itself. ``backing`` is what it is a difference to, as it stands there, empty if it stands
    alone; ``backing_format`` qemu's driver for it, empty where that is not said."""

    facts: ImageFacts
    backing: str
    backing_format: str


def judge(image: ImageFile) -> ImageFacts:
    """Of a disk that is one file: see :func:`read`. Raises ``image-backing`` where there is a backing file."""
    found = read(image)
    if found.backing:
        raise fail("image-backing", f"{image.name} has a backing file")
    return found.facts


def read(image: ImageFile) -> Qcow2:
    """Read header and tables; raises the problem that keeps the image from being read safely and whole."""
    header = _read_header(image)
    backing_format = _read_extensions(image, header)
    backing = backing_file(image, header.cluster)
    _check_tables(image, header)
    warnings = tuple(_warnings(image, header))
    facts = ImageFacts("qcow2", f"v{header.version}", header.virtual_size, image.size, warnings)
    return Qcow2(facts, backing, backing_format)


def _warnings(image: ImageFile, header: _Header) -> Iterator[Problem]:
    if header.features & _DIRTY:
        message = f"{image.name} was not closed cleanly by what wrote it"
        remedy = "Check it: `qemu-img check`; export it again if it has errors."
        yield Problem("image-unclean", message, remedy=remedy)
    if header.snapshots:
        yield Problem("image-snapshots", f"{image.name} holds {header.snapshots} snapshots of earlier states")


def backing_file(image: ImageFile, cluster: int = 1 << 21) -> str:
    """What the image says that it is a difference to: a file's name or path, or anything that qemu would open.

    Empty if it stands alone. Raises ``image-truncated``, and ``image-invalid`` for a name longer than qemu's, or one
    that is not in the first ``cluster``, that many bytes.
    """
    offset, length = _HEADER.unpack(image.read(0, _V2_LENGTH, "header"))[2:4]
    if length > _NAME_LIMIT:
        raise fail("image-invalid", f"{image.name} names a backing file by {length} bytes; {_NAME_LIMIT} are allowed")
    if bool(offset) != bool(length) or offset + length > cluster:
        raise fail("image-invalid", f"{image.name} names a backing file in a way that makes no sense")
    return os.fsdecode(image.read(offset, length, "backing file's name")) if offset else ""


def _read_header(image: ImageFile) -> _Header:
    raw = image.read(0, _V2_LENGTH, "header")
    magic, version, _, _, *rest = _HEADER.unpack(raw)
    cluster_bits, size, crypt, l1_entries, l1_offset, refcount_offset, refcount_clusters, snapshots, _ = rest
    if magic != MAGIC:
        raise fail("image-invalid", f"{image.name} does not begin like a qcow2 image")
    if version not in (2, 3):
        raise fail("image-unsupported", f"{image.name} is qcow version {version}; 2 and 3 are read")
    if crypt:
        raise fail("image-encrypted", f"{image.name} is encrypted")
    if not 9 <= cluster_bits <= 21:
        raise fail("image-limits", f"{image.name} claims clusters of 2^{cluster_bits} bytes; 2^9 to 2^21 are allowed")
    features, length = _read_features(image) if version == 3 else (0, _V2_LENGTH)
    return _Header(
        version,
        cluster_bits,
        check_virtual_size(image.name, size),
        l1_entries,
        l1_offset,
        refcount_offset,
        refcount_clusters,
        features,
        length,
        snapshots,
    )


def _read_features(image: ImageFile) -> tuple[int, int]:
    """The incompatible features and the header's length of a version 3 image."""
    features, _, _, refcount_order, length = _FEATURES.unpack(image.read(_V2_LENGTH, _FEATURES.size, "header"))
    if features & ~_KNOWN_FEATURES:
        raise fail("image-unsupported", f"{image.name} uses unknown features ({features:#x})")
    if features & _DATA_FILE:
        raise fail("image-backing", f"{image.name} keeps its data in another file")
    if features & _CORRUPT:
        raise fail("image-invalid", f"{image.name} is marked as corrupt by what wrote it")
    if refcount_order > 6 or length < _V3_LENGTH:
        raise fail("image-invalid", f"the header of {image.name} makes no sense")
    if features & _COMPRESSION:
        kind = image.read(_V3_LENGTH, 1, "header")[0]
        if kind > 1:
            raise fail("image-unsupported", f"{image.name} uses an unknown compression ({kind})")
    return features, length


def _read_extensions(image: ImageFile, header: _Header) -> str:
    """Walk the header extensions, which share the first cluster; none may name a data file. The backing's format."""
    area = image.start(header.cluster)
    offset = header.length
    backing_format = ""
    while offset + 8 <= len(area):
        kind, length = struct.unpack_from(">II", area, offset)
        if kind == 0:
            break
        if kind == _EXTENSION_DATA_FILE:
            raise fail("image-backing", f"{image.name} names a data file")
        if kind == _EXTENSION_BACKING_FORMAT:
            backing_format = one_line(
                area[offset + 8 : offset + 8 + min(length, _NAME_LIMIT)].decode("ascii", "replace")
            )
        offset += 8 + (length + 7) // 8 * 8
        if offset > header.cluster:
            raise fail("image-invalid", f"the header extensions of {image.name} leave its first cluster")
    return backing_format


def _check_tables(image: ImageFile, header: _Header) -> None:
    """Every table, and every cluster that a table names, must lie within the file."""
    per_table = header.cluster // header.entry_size
    needed = -(-header.virtual_size // (header.cluster * per_table))
    check_table(image.name, "L1 table", max(header.l1_entries, needed) * 8)
    if header.l1_entries < needed:
        raise fail("image-invalid", f"the L1 table of {image.name} is too small for its disk")
    for what, offset in (("L1 table", header.l1_offset), ("refcount table", header.refcount_offset)):
        if offset == 0 or offset % header.cluster:
            raise fail("image-invalid", f"the {what} of {image.name} is not at a cluster")
    refcount_length = check_table(image.name, "refcount table", header.refcount_clusters * header.cluster)
    image.must_hold(header.refcount_offset, refcount_length, "refcount table")
    seen: set[int] = set()
    for index, entry in enumerate(_big_endian(image.read(header.l1_offset, needed * 8, "L1 table"))):
        offset = entry & _OFFSET_MASK
        if offset == 0 or offset in seen:
            continue
        if offset % header.cluster:
            raise fail("image-invalid", f"an L2 table of {image.name} is not at a cluster")
        seen.add(offset)
        table = _big_endian(image.read(offset, header.cluster, "L2 table"))
        _check_l2(image, header, table[:: header.entry_size // 8], index * per_table)
    _require_end(image, header, needed, per_table)


def _require_end(image: ImageFile, header: _Header, needed: int, per_table: int) -> None:
    """Raises ``image-invalid`` for content behind the disk's end: its size is not the one that it was written with, and
    qemu would cut it. A saved state is no content; what was shrunk by qemu has none there."""
    used = -(-header.virtual_size // header.cluster) - (needed - 1) * per_table
    length = (header.l1_entries - needed + 1) * 8
    entries = _big_endian(image.read(header.l1_offset + (needed - 1) * 8, length, "L1 table"))
    seen = {0}
    for number, offset in enumerate(entry & _OFFSET_MASK for entry in entries):
        if offset in seen:
            continue
        seen.add(offset)
        table = _big_endian(image.read(offset, header.cluster, "L2 table"))[:: header.entry_size // 8]
        if number == 1 and _begins_a_state(image, table[0]):
            return
        if any(map(_holds_content, table[used:] if number == 0 else table)):
            message = f"{image.name} has content behind the end that its header says, at byte {header.virtual_size}"
            raise fail("image-invalid", message, remedy="Export the disk again; its size was changed by no qemu-img.")


def _begins_a_state(image: ImageFile, entry: int) -> bool:
    offset = entry & _OFFSET_MASK
    return _holds_content(entry) and image.read(offset, len(_SAVED_STATE), "saved state") == _SAVED_STATE


def _holds_content(entry: int) -> bool:
    return bool(entry & _COMPRESSED or (entry & _OFFSET_MASK and not entry & _ZERO))


def _check_l2(image: ImageFile, header: _Header, table: array[int], first: int) -> None:
    """Check the clusters of one L2 table; ``first`` is the number of its first cluster in the guest's disk.

    Sorting is what is fast in Python: it parts the entries by their two flag bits, and the last of a part is
    its highest offset. Only where that one is beyond the end are entries looked at one by one.
    """
    ordered = sorted(table)
    compressed_from, copied_from = bisect_left(ordered, _COMPRESSED), bisect_left(ordered, _COPIED)
    plain, compressed = ordered[:compressed_from], ordered[compressed_from:copied_from]
    highest = max((part[-1] & _OFFSET_MASK for part in (plain, ordered[copied_from:]) if part), default=0)
    if ordered[-1] >= _COPIED | _COMPRESSED:
        raise fail("image-invalid", f"an L2 entry of {image.name} is both copied and compressed")
    if highest + header.cluster > image.size:
        for index, entry in enumerate(table):
            offset = entry & _OFFSET_MASK
            if offset and not entry & (_COMPRESSED | _ZERO):
                rest = header.virtual_size - (first + index) * header.cluster
                length = min(header.cluster, -(-rest // SECTOR) * SECTOR)
                image.must_hold(offset, length, "data")
    if compressed:
        # The sector in which data ends; the last of the file need not fill it. Where more is missing, qemu takes it for
        # zeros, unpacks those as well as it can, and says nothing.
        bits = 62 - (header.cluster_bits - 8)
        offset_mask, count_mask = (1 << bits) - 1, (1 << 62 - bits) - 1
        last = max((entry & offset_mask) // SECTOR + (entry >> bits & count_mask) for entry in compressed)
        image.must_hold(last * SECTOR, 1, "compressed data")


def _big_endian(raw: bytes) -> array[int]:
    """Eight-byte numbers as they stand in a qcow2 file."""
    numbers = array("Q", raw)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
