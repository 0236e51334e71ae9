"""The archive of Linux' initramfs: cpio's "newc" format, read as a stream and written whole.

The kernel's Documentation/driver-api/early-userspace/buffer-format.rst is the reference.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hypersdkd.model.problem import fail

#: How a member begins: without a checksum, or with one (which is not verified: the kernel does, and it is never used).
MAGICS: Final = (b"070701", b"070702")

#: Bytes that members' headers and contents are aligned to.
ALIGNMENT: Final = 4

_HEADER: Final = 110
_TRAILER: Final = "TRAILER!!!"

#: The kernel's own limit of a name, with its NUL.
_NAME_LIMIT: Final = 4096

#: Members of one archive; the largest initramfs has a tenth of that.
_MEMBERS_LIMIT: Final = 100_000


class Stream(Protocol):
    """Bytes in order."""

    def read(self, size: int) -> bytes:
        """That many bytes, fewer only at the end."""

    def skip(self, size: int) -> None:
        """Pass over bytes; it is no error to pass over more than there are."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file, directory, link … of an archive. ``name`` is relative and has no ``./`` before it.

    ``content`` is ``None`` where it was not asked for; that of a link is where it leads.
    """

    name: str
    mode: int
    size: int
    content: bytes | None = None


def members(stream: Stream, wanted: frozenset[str], limit: int) -> Iterator[Member]:
    """The members of one archive, whose magic comes next, up to its end.

    Contents are read of links, and of members whose name's last part is ``wanted``, if they have at most ``limit``
    bytes. Raises ``guest-file-unusual`` for whatever the kernel would stop at, and for too many members.
    """
    for _ in range(_MEMBERS_LIMIT):
        header = stream.read(_HEADER)
        if len(header) < _HEADER or header[:6] not in MAGICS:
            raise _broken("it ends in the middle, or has no header where one must be")
        try:
            fields = [int(header[start : start + 8], 16) for start in range(6, _HEADER, 8)]
        except ValueError as error:
            raise _broken("a header holds no number") from error
        mode, size, name_size = fields[1], fields[6], fields[11]
        if not 0 < name_size <= _NAME_LIMIT:
            raise _broken(f"a name of {name_size} bytes")
        raw = stream.read(_up(_HEADER + name_size) - _HEADER)[:name_size]
        name = raw.split(b"\0")[0].decode(errors="surrogateescape")
        if name == _TRAILER:
            return
        kept = stat.S_ISLNK(mode) or name.rpartition("/")[2] in wanted
        content = stream.read(size) if kept and size <= limit else None
        if content is not None and len(content) < size:
            raise _broken("it ends in the middle")
        stream.skip(_up(size) - (0 if content is None else size))
        yield Member(name.removeprefix("./").strip("/"), mode, size, content)
    raise _broken(f"more than {_MEMBERS_LIMIT} members")


def archive(entries: Sequence[Member]) -> bytes:
    """A whole archive of these members, in this order, all root's. ``content`` is what counts, not ``size``."""
    made = bytearray()
    for number, entry in enumerate(entries, start=1):
        links = 2 if stat.S_ISDIR(entry.mode) else 1
        made += _header(number, entry.mode, links, entry.name, entry.content or b"")
    made += _header(0, 0, 1, _TRAILER, b"")
    return bytes(made)


def _header(number: int, mode: int, links: int, name: str, content: bytes) -> bytes:
    encoded = name.encode(errors="surrogateescape") + b"\0"
    numbers = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = MAGICS[0] + b"".join(b"%08X" % value for value in numbers) + encoded
    return head.ljust(_up(len(head)), b"\0") + content.ljust(_up(len(content)), b"\0")


def _up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _broken(what: str) -> Exception:
    return fail("guest-file-unusual", f"an initramfs cannot be read: {what}")
