"""VHD: judge an image by its footer, header, block table and parent.

Layout: Microsoft's "Virtual Hard Disk Image Format Specification", 1.0; all numbers are big-endian.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_table, check_virtual_size
from hypersdkd.host.parent import ParentClaim, path_names
from hypersdkd.host.places import Places
from hypersdkd.model.problem import Problem, fail

MAGIC: Final = b"conectix"

#: Cookie, features, version, where the header is, time stamp, creator, its version and host, original and current
#: size, geometry, type, checksum, unique id, whether there is a saved state.
_FOOTER: Final = struct.Struct(">8sIIQI4sI4sQQIII16sB")
_FOOTER_CHECKSUM: Final = 64
_VERSION: Final = 0x0001_0000
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4
_VARIANTS: Final = {_FIXED: "fixed", _DYNAMIC: "dynamic", _DIFFERENCING: "differencing"}

#: Cookie, unused, where the table is, version, entries, bytes of a block, checksum, the parent's id and time stamp,
#: reserved, its name; then eight locators.
_HEADER: Final = struct.Struct(">8sQQIIII16sII512s")
_HEADER_MAGIC: Final = b"cxsparse"
_HEADER_LENGTH: Final = 1024
_HEADER_CHECKSUM: Final = 36
#: Platform, room, bytes, reserved, where. The first room for a path is that of Windows, relative or absolute.
_LOCATOR: Final = struct.Struct(">4sIIIQ")
_LOCATORS: Final = {b"W2ru": "utf-16-le", b"W2ku": "utf-16-le", b"MacX": "utf-8"}
_MAX_LOCATOR: Final = 64 << 10

_NO_BLOCK: Final = 0xFFFF_FFFF
#: From the size at which a block's bitmap has a sector, up to a hundred times what is usual (2 MiB).
_BLOCK_SIZES: Final = range(4096, (256 << 20) + 1)
_SLICE: Final = 1 << 14  # entries of the table that are looked at in one go

#: Virtual PC before 2004 wrote footers of 511 bytes; the copy at the start always has 512.
_OLD_FOOTER: Final = 511
_EPOCH: Final = 946_684_800  # 2000-01-01 UTC, from which time stamps count


@dataclass(frozen=True, slots=True)
class Vhd:
    """What a VHD says of itself. ``blocks`` are the sectors of its blocks' bitmaps, ``bitmap`` the bytes of one; the
    block's data follows. A fixed disk has neither. ``parent_time`` is in seconds since 1970, 0 if not known.
    """

    facts: ImageFacts
    unique_id: bytes
    block: int = 0
    bitmap: int = 0
    blocks: array[int] | None = None
    parent: ParentClaim | None = None
    parent_time: int = 0

    def stored(self) -> list[tuple[int, int]]:
        """Number of each block that is in the file, and where it begins, with its bitmap, in bytes."""
        return [(number, at * SECTOR) for number, at in enumerate(self.blocks or ()) if at != _NO_BLOCK]


@dataclass(frozen=True, slots=True)
class _Footer:
    kind: int
    header: int
    size: int
    unique_id: bytes
    saved_state: bool


def read(image: ImageFile) -> Vhd:
    """Read all of it but the data; raises the problem that keeps it from being read safely and whole."""
    if image.size == 0:
        raise fail("image-empty", f"{image.name} is empty")
    if not image.start(len(MAGIC)).startswith(MAGIC):
        return _read_fixed(image)
    footer = _read_footer(image, image.read(0, SECTOR, "footer"))
    if footer.kind == _FIXED:
        raise fail("image-invalid", f"{image.name} begins like a dynamic disk, but says that it is a fixed one")
    table, block, header = _read_header(image, footer)
    bitmap = -(-block // (8 * SECTOR * SECTOR)) * SECTOR
    if any(entry != _NO_BLOCK for entry in table[-(-footer.size // block) :]):
        message = f"{image.name} has content behind the end that its footer says, at byte {footer.size}"
        raise fail("image-invalid", message)
    end = _check_table(image, table, block, bitmap)
    _check_end(image, footer, end)
    facts = ImageFacts("vhd", _VARIANTS[footer.kind], footer.size, image.size, _warnings(image, footer))
    if footer.kind == _DYNAMIC:
        return Vhd(facts, footer.unique_id, block, bitmap, table)
    stamp = _HEADER.unpack_from(header)[8]
    parent = _read_parent(image, header)
    return Vhd(facts, footer.unique_id, block, bitmap, table, parent, stamp and stamp + _EPOCH)


def judge(image: ImageFile) -> ImageFacts:
    """Of a disk that is one file: see :func:`read`. Raises ``image-backing`` for a differencing one."""
    vhd = read(image)
    if vhd.parent is not None:
        raise fail("image-backing", f"{image.name} holds only the differences from another disk")
    return vhd.facts


def parent_of(image: ImageFile) -> ParentClaim | None:
    """Whose child it is, if it is one. Cheap: reads no table."""
    raw = image.start(SECTOR)
    if len(raw) < SECTOR or not raw.startswith(MAGIC):
        return None
    footer = _read_footer(image, raw)
    if footer.kind != _DIFFERENCING:
        return None
    return _read_parent(image, image.read(footer.header, _HEADER_LENGTH, "header"))


def _read_fixed(image: ImageFile) -> Vhd:
    """A fixed disk: its content, and then a footer."""
    end = image.end(SECTOR)
    if len(end) < SECTOR or not end.startswith(MAGIC):
        raise fail("image-truncated", f"{image.name} ends without the footer of a VHD")
    footer = _read_footer(image, end)
    if footer.kind != _FIXED:
        message = f"{image.name} says that it is {_VARIANTS[footer.kind]}, but does not begin so"
        raise fail("image-invalid", message)
    content = image.size - SECTOR
    if content < footer.size:
        raise fail("image-truncated", f"{image.name} has {content} bytes of a disk of {footer.size}")
    warnings = list(_warnings(image, footer))
    if content > footer.size:
        message = f"{image.name} has {content} bytes, of which its footer counts the first {footer.size} as the disk's"
        warnings.append(Problem("image-unclean", message))
    return Vhd(ImageFacts("vhd", "fixed", footer.size, image.size, tuple(warnings)), footer.unique_id)


def _warnings(image: ImageFile, footer: _Footer) -> tuple[Problem, ...]:
    message = f"{image.name} belongs to a machine that was suspended: what it had in memory is not on the disk"
    remedy = "Start the machine where it was, shut it down, and export it again."
    return (Problem("image-unclean", message, remedy=remedy),) * footer.saved_state


def _read_footer(image: ImageFile, raw: bytes) -> _Footer:
    """The size is the current one, as Hyper-V and Azure take it: what the geometry says is up to a cylinder less."""
    fields = _FOOTER.unpack_from(raw)
    version, header, size, kind, checksum, unique_id, saved_state = fields[2:4] + fields[9:10] + fields[11:15]
    if _checksum(raw, _FOOTER_CHECKSUM) != checksum:
        raise fail("image-invalid", f"the footer of {image.name} does not have the checksum that it says")
    if version >> 16 != _VERSION >> 16:
        raise fail("image-unsupported", f"{image.name} is VHD version {version >> 16}; 1 is read")
    if kind not in _VARIANTS:
        raise fail("image-unsupported", f"{image.name} is a VHD of type {kind}; 2 to 4 are read")
    check_virtual_size(image.name, size)
    if size % SECTOR:
        raise fail("image-invalid", f"{image.name} has a disk of {size} bytes, which is no whole number of sectors")
    return _Footer(kind, header, size, unique_id, bool(saved_state))


def _read_header(image: ImageFile, footer: _Footer) -> tuple[array[int], int, bytes]:
    """The block table, the bytes of a block, and the header itself."""
    raw = image.read(footer.header, _HEADER_LENGTH, "header")
    magic, _, offset, version, entries, block, checksum = _HEADER.unpack_from(raw)[:7]
    if magic != _HEADER_MAGIC or version >> 16 != _VERSION >> 16:
        raise fail("image-invalid", f"{image.name} has no header where its footer says")
    if _checksum(raw, _HEADER_CHECKSUM) != checksum:
        raise fail("image-invalid", f"the header of {image.name} does not have the checksum that it says")
    if block not in _BLOCK_SIZES or block & (block - 1):
        raise fail("image-limits", f"{image.name} claims blocks of {block} bytes")
    length = check_table(image.name, "block table", 4 * entries)
    if entries * block < footer.size:
        raise fail("image-invalid", f"the block table of {image.name} is too small for its disk")
    table = array("I", image.read(offset, length, "block table"))
    if sys.byteorder == "little":
        table.byteswap()
    return table, block, raw


def _check_table(image: ImageFile, table: array[int], block: int, bitmap: int) -> int:
    """Where the last block ends; each must lie within the file, and begin in no other."""
    last, places = 0, Places(image, block)
    for first in range(0, len(table), _SLICE):
        image.require_time()
        piece = table[first : first + _SLICE]
        stored = [entry for entry in piece if entry != _NO_BLOCK]
        if not stored:
            continue
        last = max(last, *stored)
        image.must_hold(last * SECTOR, bitmap + block, "data")
        if min(stored) * SECTOR < SECTOR + _HEADER_LENGTH or not all(places.take(entry * SECTOR) for entry in stored):
            raise fail("image-invalid", f"the block table of {image.name} makes no sense")
    return last and last * SECTOR + bitmap + block


def _check_end(image: ImageFile, footer: _Footer, end: int) -> None:
    """The footer stands at the end once more, and is the one that counts; where it is not, the end is missing."""
    last = image.end(SECTOR)
    raw = last if last.startswith(MAGIC) else last[1:] + b"\0"
    if not raw.startswith(MAGIC) or image.size - end < _OLD_FOOTER:
        raise fail("image-truncated", f"{image.name} ends without the footer of a VHD")
    if _read_footer(image, raw) != footer:
        raise fail("image-invalid", f"{image.name} says different things at its start and at its end")


def _read_parent(image: ImageFile, header: bytes) -> ParentClaim:
    """Whose child it is: the id, and names by which the parent was known."""
    unique_id, _, _, name = _HEADER.unpack_from(header)[7:11]
    paths: list[str] = []
    for number in range(8):
        at = _HEADER.size + number * _LOCATOR.size
        platform, _, length, _, offset = _LOCATOR.unpack_from(header, at)
        if platform in _LOCATORS and 0 < length <= _MAX_LOCATOR:
            raw = image.read(offset, length, "parent locator")
            paths.append(raw.decode(_LOCATORS[platform], errors="replace"))
    paths.append(name.decode("utf-16-be", errors="replace"))
    return ParentClaim(path_names(paths), frozenset({unique_id}))


def _checksum(raw: bytes, at: int) -> int:
    """The ones' complement of the sum of all bytes but the checksum's own."""
    return ~(sum(raw) - sum(raw[at : at + 4])) & 0xFFFF_FFFF
