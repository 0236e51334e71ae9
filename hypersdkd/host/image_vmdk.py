"""VMDK: judge a hosted sparse extent by its header, its descriptor and its grain tables.

Layout: VMware's Virtual Disk Format 5.0. monolithicSparse and streamOptimized are one such file with all the data;
others consist of several, or have a parent (:mod:`hypersdkd.host.vmdk_disk`). The descriptor's text is judged in
:mod:`hypersdkd.host.vmdk_descriptor`.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from array import array
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_table, check_virtual_size
from hypersdkd.host.vmdk_descriptor import DESCRIPTOR_LIMIT, require_alone
from hypersdkd.model.problem import Problem, fail

MAGIC: Final = b"KDMV"

_HEADER: Final = struct.Struct("<4sIIQQQQIQQQB4sH")
_FLAG_NEWLINES: Final = 1
_FLAG_COMPRESSED: Final = 1 << 16
_NEWLINES: Final = b"\n \r\n"
_DEFLATE: Final = 1
_DIRECTORY_AT_END: Final = 0xFFFF_FFFF_FFFF_FFFF
#: A marker is a sector: a number, a size and, where the size is 0, a type.
_MARKER: Final = struct.Struct("<QII")
_MARKER_FOOTER: Final = 3
_TAIL: Final = 3 * SECTOR  # footer marker, footer, end-of-stream marker
_ZEROED_GRAIN: Final = 1
#: qemu reads the descriptor's parent at this place, whatever the header says.
_DESCRIPTOR_SECTOR: Final = 1
#: Bytes that qemu searches for a parent.
_PARENT_SEARCH: Final = 20 * SECTOR
_EXTENT_NAME: Final = re.compile(rb'^(RW \d+ SPARSE ")[^"]*"', re.MULTILINE)
_GRAIN_SECTORS: Final = range(1, 65537)  # up to 32 MiB; VMware writes 128 sectors


@dataclass(frozen=True, slots=True)
class _Header:
    """Sizes and offsets in sectors."""

    version: int
    flags: int
    capacity: int
    grain: int
    descriptor: int
    descriptor_size: int
    table_entries: int
    directory: int
    unclean: bool

    @property
    def compressed(self) -> bool:
        return bool(self.flags & _FLAG_COMPRESSED)


def judge(image: ImageFile) -> ImageFacts:
    """Of a self-contained image: read header, descriptor and tables. Raises what keeps it from being read safely and
    whole.
    """
    header = _read_header(image, 0)
    size = check_virtual_size(image.name, header.capacity * SECTOR)
    variant, warnings = _judge_descriptor(image, header)
    if header.directory == _DIRECTORY_AT_END:
        header = _read_footer(image, header)
    if header.compressed != (variant == "streamOptimized"):
        raise fail("image-invalid", f"the descriptor of {image.name} says {variant}, its header does not")
    _check_tables(image, header)
    return ImageFacts("vmdk", variant, size, image.size, (*warnings, *_unclean(image, header)))


def require_whole(image: ImageFile) -> None:
    """Of any hosted sparse file, also a part of a disk or a snapshot: all that its tables name must be there."""
    header = _read_header(image, 0)
    if header.directory == _DIRECTORY_AT_END:
        header = _read_footer(image, header)
    _check_tables(image, header)


def _unclean(image: ImageFile, header: _Header) -> tuple[Problem, ...]:
    """A warning for a file that was copied while a machine ran on it, or whose host went down."""
    return (Problem("image-unclean", f"{image.name} was still in use when it was last written"),) * header.unclean


def judge_extent(image: ImageFile) -> tuple[int, int, tuple[Problem, ...]]:
    """Of one part of a disk, which some descriptor names: its sectors, those of its grains, and warnings."""
    header = _read_header(image, 0)
    check_virtual_size(image.name, header.capacity * SECTOR)
    if header.directory == _DIRECTORY_AT_END:  # qemu looks for the footer of an extent in its descriptor
        raise fail("image-unsupported", f"{image.name} is a streamed VMDK, but not a disk of its own")
    _check_tables(image, header)
    return header.capacity, header.grain, _unclean(image, header)


def is_part(image: ImageFile) -> bool:
    """Whether a sparse file is a part of a split disk: its descriptor, if it has any, is empty.

    Raises ``image-invalid`` and the like for a damaged header, ``image-limits`` as :func:`embedded_descriptor` does.
    """
    return not _embedded_text(image).strip(b"\0")


def embedded_descriptor(image: ImageFile) -> bytes:
    """The descriptor in a sparse image, with its padding.

    Raises ``image-unsupported`` where there is none, or an empty one, ``image-limits`` where it claims to be too long.
    """
    text = _embedded_text(image)
    if not text.strip(b"\0"):
        raise fail(
            "image-unsupported",
            f"{image.name} is one part of a split disk: it has no descriptor of its own",
            remedy="Name the small text file that describes the disk; it is called like this one, without -s001.",
        )
    return text


def _embedded_text(image: ImageFile) -> bytes:
    header = _read_header(image, 0)
    if 0 in (header.descriptor, header.descriptor_size):
        return b""
    length = header.descriptor_size * SECTOR
    if length > DESCRIPTOR_LIMIT:
        raise fail("image-limits", f"{image.name} claims a descriptor of {length} bytes; 1 MiB is allowed")
    return image.read(header.descriptor * SECTOR, length, "descriptor")


def _read_header(image: ImageFile, offset: int) -> _Header:
    raw = image.read(offset, SECTOR, "header" if offset == 0 else "footer")
    (
        magic,
        version,
        flags,
        capacity,
        grain,
        descriptor,
        descriptor_size,
        entries,
        _,
        directory,
        _,
        unclean,
        marks,
        deflate,
    ) = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise fail("image-invalid", f"{image.name} does not begin (or end) like a sparse VMDK")
    if version not in (1, 2, 3):
        raise fail("image-unsupported", f"{image.name} is a sparse VMDK of version {version}; 1 to 3 are read")
    if flags & _FLAG_NEWLINES and marks != _NEWLINES:
        message = f"{image.name} was damaged by a transfer in text mode"
        raise fail("image-invalid", message, remedy="Copy it again in binary mode.")
    if capacity == 0:  # qemu would then take the descriptor for the list of a disk's files
        raise fail("image-invalid", f"{image.name} describes a disk without any sectors")
    if grain not in _GRAIN_SECTORS or grain & (grain - 1) or not 1 <= entries <= 512:
        raise fail("image-limits", f"{image.name} claims grains of {grain} sectors, {entries} in a table")
    if bool(flags & _FLAG_COMPRESSED) != (deflate == _DEFLATE):
        raise fail("image-unsupported", f"{image.name} uses an unknown compression ({deflate})")
    return _Header(version, flags, capacity, grain, descriptor, descriptor_size, entries, directory, bool(unclean))


def _judge_descriptor(image: ImageFile, header: _Header) -> tuple[str, tuple[Problem, ...]]:
    """The variant that the embedded descriptor names."""
    text = embedded_descriptor(image)
    if header.descriptor != _DESCRIPTOR_SECTOR:
        raise fail("image-unsupported", f"the descriptor of {image.name} is not where readers look for it")
    searched = image.start(SECTOR + max(len(text), _PARENT_SEARCH))[SECTOR:]
    return require_alone(image.name, text, searched, header.capacity, header.grain)


def _read_footer(image: ImageFile, header: _Header) -> _Header:
    """The footer's copy of the header, which names the grain directory; it and the end marker come last."""
    start = image.size - _TAIL
    missing = f"{image.name} ends without the footer of a streamOptimized VMDK"
    if start < 2 * SECTOR or image.size % SECTOR:
        raise fail("image-truncated", missing)
    _, size, kind = _MARKER.unpack_from(image.read(start, SECTOR, "footer marker"))
    end = image.read(start + 2 * SECTOR, SECTOR, "end-of-stream marker")
    if (size, kind) != (0, _MARKER_FOOTER) or any(end):
        raise fail("image-truncated", missing)
    footer = _read_header(image, start + SECTOR)
    if (footer.capacity, footer.grain, footer.table_entries) != (header.capacity, header.grain, header.table_entries):
        raise fail("image-invalid", f"header and footer of {image.name} describe different disks")
    if (footer.descriptor, footer.descriptor_size) != (header.descriptor, header.descriptor_size):
        raise fail("image-invalid", f"header and footer of {image.name} name different descriptors")
    if footer.directory == _DIRECTORY_AT_END:
        raise fail("image-invalid", f"the footer of {image.name} names another footer")
    return footer


def _check_tables(image: ImageFile, header: _Header) -> None:
    """Every grain table, and every grain that a table names, must lie within the file."""
    tables = -(-header.capacity // (header.grain * header.table_entries))
    length = check_table(image.name, "grain directory", 4 * tables)
    if header.directory == 0:
        raise fail("image-invalid", f"{image.name} has no grain directory")
    grain_bytes = header.grain * SECTOR
    highest = 0
    seen: set[int] = set()
    directory = _little_endian(image.read(header.directory * SECTOR, length, "grain directory"))
    for number, sector in enumerate(directory):
        if sector == 0 or sector in seen:
            continue
        seen.add(sector)
        table = _little_endian(image.read(sector * SECTOR, 4 * header.table_entries, "grain table"))
        last = max(table)
        if last > _ZEROED_GRAIN and not header.compressed and last * SECTOR + grain_bytes > image.size:
            _check_grains(image, header, table, number * header.table_entries)
        highest = max(highest, last)
    if header.compressed and highest > _ZEROED_GRAIN:
        _, size, _ = _MARKER.unpack(image.read(highest * SECTOR, _MARKER.size, "data"))
        if size == 0:  # space that was set aside for a copy which did not come so far
            raise fail("image-truncated", f"{image.name} has zeros where its last data should be")
        image.must_hold(highest * SECTOR, _MARKER.size - 4 + size, "data")


def _check_grains(image: ImageFile, header: _Header, table: array[int], first: int) -> None:
    """Look at the grains of one table one by one: the disk's last grain may be a short one."""
    for index, sector in enumerate(table):
        if sector > _ZEROED_GRAIN:
            rest = header.capacity - (first + index) * header.grain
            image.must_hold(sector * SECTOR, min(header.grain, max(rest, 0)) * SECTOR, "data")


def _little_endian(raw: bytes) -> array[int]:
    """Four-byte numbers as they stand in a VMDK."""
    numbers = array("I", raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def name_extent(fd: int, name: str) -> None:
    """Write ``name`` into the descriptor of a sparse VMDK of our own, as the name of the file that it is.

    It changes nothing where the name cannot stand there; no reader depends on it.
    """
    area = os.pread(fd, _PARENT_SEARCH, SECTOR)
    text = area.split(b"\0", 1)[0]
    encoded = os.fsencode(name)
    renamed = _EXTENT_NAME.sub(lambda match: match[1] + encoded + b'"', text, count=1)
    if re.search(rb'["\n\r]', encoded) is None and len(renamed) < len(area):
        os.pwrite(fd, renamed.ljust(len(area), b"\0"), SECTOR)
