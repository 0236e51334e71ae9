"""A Linux guest's initramfs, read as its kernel does, and what is added to one.

It is a row of archives, each as it is or compressed, with zeros between them; a later member replaces an earlier one of
its name. The kernel's Documentation/driver-api/early-userspace/buffer-format.rst and lib/decompress*.c are the
references.
"""

from __future__ import annotations

import bz2
import lzma
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hypersdkd.host.cpio import ALIGNMENT, MAGICS, Member, archive, members
from hypersdkd.model.problem import ProblemError, fail

#: Bytes of an initramfs file that are read; the largest seen (all of a distribution's drivers) has 250 MiB.
FILE_LIMIT: Final = 512 << 20

#: Bytes that all its archives may have unpacked.
UNPACKED_LIMIT: Final = 2 << 30

#: Bytes of a member whose content is asked for.
MEMBER_LIMIT: Final = 16 << 20

#: What is unpacked at a time, and what is given to an unpacker at a time: a zstd of 4 KiB unpacks to 50 MiB at most.
_CHUNK: Final = 1 << 20
_PIECE: Final = 4 << 10

#: More than any dictionary that the kernel could allocate while it starts.
_MEMORY_LIMIT: Final = 256 << 20

#: The block of lz4's former frame format, which the kernel uses: lib/decompress_unlz4.c.
_LZ4_BLOCK: Final = 8 << 20

#: Zeros before what is added: an unpacker of lz4 takes four of them for the end of its archive.
_GAP: Final = 16


@dataclass(frozen=True, slots=True)
class Initramfs:
    """What is in it, by name without a slash before it; ``compressions`` are those of its parts, empty for none."""

    members: Mapping[str, Member]
    compressions: tuple[str, ...]

    def resolve(self, path: str) -> str:
        """``path`` with the links in its directories replaced, as far as they are in it: ``lib/x`` → ``usr/lib/x``."""
        done: list[str] = []
        rest = [part for part in path.split("/") if part]
        for _ in range(1000):
            if not rest:
                break
            part = rest.pop(0)
            if part in {".", ".."}:
                done = done[:-1] if part == ".." else done
                continue
            entry = self.members.get("/".join([*done, part]))
            if entry is not None and stat.S_ISLNK(entry.mode) and entry.content is not None and rest:
                target = entry.content.decode(errors="surrogateescape")
                done = [] if target.startswith("/") else done
                rest = [*(name for name in target.split("/") if name), *rest]
            else:
                done.append(part)
        return "/".join(done)


def read_initramfs(data: bytes, wanted: frozenset[str] = frozenset()) -> Initramfs:
    """Read it whole; contents are kept of links and of members whose name's last part is ``wanted``.

    Raises ``guest-file-unusual`` where it is damaged, compressed in an unknown way, or larger than the limits.
    """
    found: dict[str, Member] = {}
    compressions = []
    position = 0
    left = UNPACKED_LIMIT
    while position < len(data):
        if data[position] == 0:
            position += 1
            continue
        name, unpack = _part(data, position)
        stream = _Stream(unpack(data, position), left)
        begin = position
        while stream.another():
            found.update((member.name, member) for member in members(stream, wanted, MEMBER_LIMIT))
            if not name:
                break  # what follows need not be an archive
        compressions.append(name)
        position = position + stream.taken if not name else stream.position
        if position <= begin:
            raise fail("guest-file-unusual", f"an initramfs has a part in {name} that holds nothing")
        left -= stream.taken
    return Initramfs(found, tuple(compressions))


def with_members(data: bytes, added: Sequence[Member]) -> bytes:
    """What has to be added to the end of an initramfs for these members to be in it, directories that lack included."""
    gap = _GAP + -len(data) % ALIGNMENT
    return b"\0" * gap + archive(added)


class _Unpacker(Protocol):
    """What the unpackers of the standard library have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


#: Bytes in a row, each with the position after what they were unpacked from.
_Chunks = Iterator[tuple[bytes, int]]


class _Stream:
    """Bytes of one part, with a limit. ``position`` is where the part ends in the file, once it was read to its end."""

    def __init__(self, chunks: _Chunks, limit: int) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._at = 0
        self._limit = limit
        self.taken = 0
        self.position = 0

    def read(self, size: int) -> bytes:
        """That many bytes, fewer only at the end."""
        self._fill(size)
        piece = self._buffer[self._at : self._at + size]
        self._at += len(piece)
        self.taken += len(piece)
        return piece

    def skip(self, size: int) -> None:
        """Pass over bytes."""
        while size > 0:
            passed = len(self.read(min(size, _CHUNK)))
            if not passed:
                return
            size -= passed

    def another(self) -> bool:
        """Whether an archive comes next; zeros before it are passed over, and after the last all there is is read."""
        while True:
            self._fill(len(MAGICS[0]))
            rest = self._buffer[self._at : self._at + _CHUNK]
            if not rest:
                return False
            zeros = len(rest) - len(rest.lstrip(b"\0"))
            if not zeros:
                return True
            self.read(zeros)

    def _fill(self, size: int) -> None:
        while len(self._buffer) - self._at < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            self._buffer = self._buffer[self._at :] + chunk[0]
            self._at = 0
            self.position = chunk[1]
            if self.taken + len(self._buffer) > self._limit:
                raise fail("guest-file-unusual", f"an initramfs unpacks to more than {UNPACKED_LIMIT} bytes")


def _part(data: bytes, position: int) -> tuple[str, Callable[[bytes, int], _Chunks]]:
    """How the part at ``position`` is compressed (empty: it is not), and its unpacker."""
    head = data[position : position + 6]
    if head in MAGICS and position % ALIGNMENT == 0:
        return "", _plain
    for magic, name in _COMPRESSIONS.items():
        if head.startswith(magic):
            return name, _UNPACKERS[name]
    raise fail("guest-file-unusual", f"an initramfs has a part that begins with {head.hex()}, which is not known")


def _plain(data: bytes, position: int) -> _Chunks:
    for start in range(position, len(data), _CHUNK):
        yield data[start : start + _CHUNK], min(start + _CHUNK, len(data))


def _by(make: Callable[[], _Unpacker]) -> Callable[[bytes, int], _Chunks]:
    def unpack(data: bytes, position: int) -> _Chunks:
        unpacker = make()
        try:
            while not unpacker.eof:
                piece = data[position : position + _PIECE] if unpacker.needs_input else b""
                if unpacker.needs_input and not piece:
                    raise fail("guest-file-unusual", "an initramfs ends in the middle")
                position += len(piece)
                unpacked = unpacker.decompress(piece, max_length=_CHUNK)
                yield unpacked, position - len(unpacker.unused_data)
        except ProblemError:
            raise
        except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError, ValueError, RuntimeError) as error:
            raise fail("guest-file-unusual", f"an initramfs cannot be unpacked: {error}") from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":  # its module is not imported for the others
                raise
            raise fail("guest-file-unusual", f"an initramfs cannot be unpacked: {error}") from error

    return unpack


class _Gzip:
    """zlib's unpacker with the manners of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _zstd() -> _Unpacker:
    from backports.zstd import DecompressionParameter, ZstdDecompressor  # noqa: PLC0415 - only where a guest has it

    # The kernel takes windows of up to 128 MiB: lib/decompress_unzstd.c.
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: 27})


def _lz4(data: bytes, position: int) -> _Chunks:
    from lz4.block import LZ4BlockError, decompress  # noqa: PLC0415 - only where a guest has it

    position += 4
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "little")
        if size in {0, _LZ4_MAGIC}:
            position += 4
            if not size:
                return  # zeros between archives
            continue
        block = data[position + 4 : position + 4 + size]
        if size > _LZ4_BLOCK * 2 or len(block) < size:
            return  # not a block: the next part
        try:
            unpacked = decompress(block, uncompressed_size=_LZ4_BLOCK)
        except LZ4BlockError as error:
            raise fail("guest-file-unusual", f"an initramfs cannot be unpacked: {error}") from error
        position += 4 + size
        yield unpacked, position


_LZ4_MAGIC: Final = 0x184C2102

#: What each compression begins with, as the kernel knows them: lib/decompress.c.
_COMPRESSIONS: Final[Mapping[bytes, str]] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x5d\x00\x00": "lzma",
    b"\xfd7zXZ": "xz",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
}

_UNPACKERS: Final[Mapping[str, Callable[[bytes, int], _Chunks]]] = {
    "gzip": _by(_Gzip),
    "bzip2": _by(bz2.BZ2Decompressor),
    "lzma": _by(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY_LIMIT)),
    "xz": _by(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT)),
    "zstd": _by(_zstd),
    "lz4": _lz4,
}
