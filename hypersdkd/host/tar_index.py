"""What lies where in a tar archive: ustar, GNU and pax, read by our own eyes and never unpacked.

Members are found by their exact names, and read where they lie. Whatever two readers might understand differently is
refused: names that lead out, two members of a name, sizes in a global header. POSIX.1-2017 (pax) and GNU tar's manual,
"Basic Tar Format".
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.image_file import SECTOR, ImageFile
from hypersdkd.model.problem import fail, one_line

#: Members of an archive, and bytes of a member's name, that are read at most.
MAX_MEMBERS: Final = 1000
MAX_NAME: Final = 1024

#: Bytes of an extended header that are read at most: a long name, and whatever else a packer notes.
_MAX_EXTENDED: Final = 64 << 10

_BLOCK: Final = SECTOR
_HEADER: Final = struct.Struct("<100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_CHECKSUM_AT: Final = slice(148, 156)
_MAGIC: Final = b"ustar"
_OCTAL: Final = re.compile(rb" *([0-7]*)[ \0]*")
_PAX_RECORD: Final = re.compile(rb"([1-9][0-9]{0,5}) ")

#: A regular file's types: of today, of before 1988, and of one that was to be contiguous.
_REGULAR: Final = b"0\0007"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"L", b"K", b"x", b"g", b"S"


@dataclass(frozen=True, slots=True)
class Member:
    """A member: ``size`` bytes from ``offset`` of the archive on.

    ``regular`` is false for links and devices. ``sparse`` is how a file with holes is packed: ``gnu`` (a map in the
    header, which is at ``header``), ``pax`` (a map before the data), another word for a way that is not read, or empty.
    The file itself is ``real_size`` long then, of which ``size`` bytes are in the archive.
    """

    name: str
    offset: int
    size: int
    regular: bool = True
    sparse: str = ""
    real_size: int = 0
    header: int = 0

    @property
    def file_name(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]


def read_index(image: ImageFile) -> Mapping[str, Member]:
    """The members by their names, in the order of the archive; directories are left out.

    Raises ``image-truncated`` where the archive ends too early, ``image-invalid``, ``image-limits``,
    ``source-outside`` for a name that leads out of the archive.
    """
    members: dict[str, Member] = {}
    for member in _walk(image):
        if member.name in members:
            raise fail("image-invalid", f"{image.name} has two members named {member.name}")
        if len(members) >= MAX_MEMBERS:
            raise fail("image-limits", f"{image.name} has over {MAX_MEMBERS} members")
        members[member.name] = member
    return members


def padded(size: int) -> int:
    """``size`` as it counts in an archive: whole blocks."""
    return -(-size // _BLOCK) * _BLOCK


def whole_blocks(image: ImageFile, member: Member) -> int:
    """The member's size with its padding, which qemu can only read together. Raises ``image-invalid`` unless that
    is zeros, as the rest of a disk's last sector is."""
    size = padded(member.size)
    if any(image.read(member.offset + member.size, size - member.size, "padding")):
        raise fail("image-invalid", f"{image.name} has something behind the end of {member.file_name}")
    return size


@dataclass(slots=True)
class _Extended:
    """What comes before a header and overrules it."""

    name: bytes | None = None
    values: Mapping[bytes, bytes] | None = None

    def of_pax(self, key: bytes) -> bytes | None:
        return self.values.get(key) if self.values else None


def _walk(image: ImageFile) -> Iterator[Member]:
    offset = headers = 0
    extended = _Extended()
    while any(block := image.read(offset, _BLOCK, "next header")):
        headers += 1
        if headers > 4 * MAX_MEMBERS:
            raise fail("image-limits", f"{image.name} has over {MAX_MEMBERS} members")
        fields = _HEADER.unpack(block)
        kind, size = fields[7], _number(image, fields[4])
        _check_header(image, block, offset)
        start = offset + _BLOCK
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            content = _extended_content(image, start, size)
            if kind == _LONG_NAME:
                extended.name = content.rstrip(b"\0")
            elif kind != _LONG_LINK:
                records = _pax_records(image, content)
                if kind == _PAX:
                    extended.values = records
                elif records.keys() & {b"path", b"size"} or any(key.startswith(b"GNU.sparse") for key in records):
                    raise fail("image-invalid", f"{image.name} gives all its members one name or size")
            offset = start + padded(size)
            continue
        member = _member(image, fields, offset, extended)
        image.must_hold(member.offset, padded(member.size), f"member {one_line(member.name)}")
        if kind != b"5":
            yield member
        extended = _Extended()
        offset = member.offset + padded(member.size)


def _member(image: ImageFile, fields: tuple[bytes, ...], header: int, extended: _Extended) -> Member:
    kind, start = fields[7], header + _BLOCK
    size = _number(image, fields[4])
    if (value := extended.of_pax(b"size")) is not None:
        size = _decimal(image, value)
    regular = kind in _REGULAR or kind == _SPARSE
    raw = extended.of_pax(b"GNU.sparse.name") or extended.of_pax(b"path") or extended.name or _own_name(fields)
    sparse, real_size = "", size
    if kind == _SPARSE:
        sparse, (start, real_size) = "gnu", _gnu_sparse(image, header)
    elif any(key.startswith(b"GNU.sparse.") for key in extended.values or ()):
        version = extended.of_pax(b"GNU.sparse.major"), extended.of_pax(b"GNU.sparse.minor")
        sparse = "pax" if version == (b"1", b"0") else "an old way"
        real_size = _decimal(image, extended.of_pax(b"GNU.sparse.realsize") or b"0")
    if not regular:  # a link's size is that of what it names, a device has none
        size = 0
    return Member(_checked_name(image, raw), start, size, regular, sparse, real_size, header)


def _gnu_sparse(image: ImageFile, header: int) -> tuple[int, int]:
    """Where the data of an old GNU sparse member begins, behind the continuations of its map; and its real size."""
    block = image.read(header, _BLOCK, "header")
    real_size, more = _number(image, block[483:495]), block[482]
    start = header + _BLOCK
    while more:
        if start - header > _MAX_EXTENDED * 64:
            raise fail("image-limits", f"{image.name} has a map of holes of over 4 MiB")
        more = image.read(start, _BLOCK, "map of holes")[504]
        start += _BLOCK
    return start, real_size


def _check_header(image: ImageFile, block: bytes, offset: int) -> None:
    """The sum of a header's bytes, its own field taken for spaces; some old packers added signed bytes."""
    found = _number(image, block[_CHECKSUM_AT])
    rest = block[:148] + b" " * 8 + block[156:]
    if found != sum(rest) and found != sum(rest) - 256 * sum(byte > 127 for byte in rest):
        raise fail("image-invalid", f"{image.name} has a damaged header at byte {offset}")
    if not block[257:].startswith(_MAGIC):
        raise fail("image-unsupported", f"{image.name} is a tar archive of before 1988")


def _own_name(fields: tuple[bytes, ...]) -> bytes:
    name, prefix = fields[0].split(b"\0", 1)[0], fields[15].split(b"\0", 1)[0]
    is_posix = fields[9] == b"ustar\0"  # GNU's own headers have other things where POSIX has the prefix
    return prefix + b"/" + name if prefix and is_posix else name


def _checked_name(image: ImageFile, raw: bytes) -> str:
    """A name without ``./`` before and slashes after it."""
    if len(raw) > MAX_NAME:
        raise fail("image-limits", f"{image.name} has a member with a name of {len(raw)} bytes")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if raw.startswith(b"/") or b".." in parts or b"\0" in raw:
        raise fail(
            "source-outside",
            f"{image.name} has a member whose name leads out of it: {os.fsdecode(raw)}",
            remedy="Whoever made this archive meant to write elsewhere: do not unpack it; ask for another export.",
        )
    return os.fsdecode(b"/".join(parts))


def _number(image: ImageFile, field: bytes) -> int:
    """A number of a header: octal digits, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
        if field[0] == 0xFF or value >= 1 << 63:
            raise fail("image-invalid", f"{image.name} has a header with an impossible number")
        return value
    found = _OCTAL.fullmatch(field)
    if found is None:
        raise fail("image-invalid", f"{image.name} has a header without a number where one should be")
    return int(found[1] or b"0", 8)


def _decimal(image: ImageFile, text: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,18}", text):
        raise fail("image-invalid", f"{image.name} has an extended header without a number where one should be")
    return int(text)


def _extended_content(image: ImageFile, start: int, size: int) -> bytes:
    if size > _MAX_EXTENDED:
        raise fail("image-limits", f"{image.name} has an extended header of {size} bytes")
    return image.read(start, size, "extended header")


def _pax_records(image: ImageFile, content: bytes) -> Mapping[bytes, bytes]:
    """``LENGTH KEY=VALUE`` and a newline, LENGTH counting all of it."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content):
        found = _PAX_RECORD.match(content, at)
        end = at + int(found[1]) if found else 0
        record = content[found.end() : end] if found else b""
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if end > len(content) or not record.endswith(b"\n") or not equals:
            raise fail("image-invalid", f"{image.name} has a damaged extended header")
        if key in records and key in {b"path", b"size"}:
            raise fail("image-invalid", f"{image.name} gives a member two names or sizes")
        records[key] = value
        at = end
    return records
