"""Unpack what cannot be read in place, into a file of ours: a compressed image or archive, a tar member with holes.

It goes through once, in bounded memory. What a bomb could fill is limited: data by its ratio to what it was packed
into and by the free space; zeros take none, they become holes, and only time, which is limited too.
"""

from __future__ import annotations

import errno
import lzma
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from hypersdkd.host.image_file import MAX_VIRTUAL_SIZE, ImageFile
from hypersdkd.host.space import LEAD
from hypersdkd.host.tar_index import Member
from hypersdkd.model.problem import ProblemError, fail

#: Bytes of data that a packed one may become, zeros left out; text packs 20:1, logs 100:1, a disk of random data 1:1.
#: The first bytes are free: a small file may be all of one kind.
MAX_RATIO: Final = 250
FREE_OF_RATIO: Final = 64 << 20

#: The time limit: seconds at least, and seconds for each GiB that is packed (9 MB/s). In an hour xz gives 2 TiB of
#: zeros.
LEAST_SECONDS: Final = 3600.0
SECONDS_PER_GIB: Final = 120.0

#: Memory that a decompressor may take: what `xz -9` needs is 65 MiB, what `zstd --ultra -22` needs 128 MiB.
_MEMORY: Final = 256 << 20
_ZSTD_WINDOW_LOG: Final = 27

_PIECE: Final = 1 << 20
_INPUT: Final = 256 << 10
_HOLE: Final = 64 << 10
_LOOK_EVERY: Final = 64 << 20
_ZEROS: Final = bytes(_HOLE)

#: Segments of a sparse tar member that are read at most.
_MAX_SEGMENTS: Final = 1_000_000


class _Stream(Protocol):
    """One stream of a compressed file."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What more packed bytes unpack to, in pieces of bounded size."""

    @property
    def eof(self) -> bool:
        """Whether the stream has come to its end."""

    @property
    def unused_data(self) -> bytes:
        """What was given to it behind its end."""


class _Gzip:
    """zlib's interface as lzma's is."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._stream.decompress(data, _PIECE)
        while self._stream.unconsumed_tail and not self.eof:
            yield self._stream.decompress(self._stream.unconsumed_tail, _PIECE)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data


class _Decompressor(Protocol):
    """The interface of the standard library's decompressors, zlib's apart."""

    @property
    def needs_input(self) -> bool:
        """Whether it has given all that it can."""

    @property
    def eof(self) -> bool:
        """Whether the stream has come to its end."""

    @property
    def unused_data(self) -> bytes:
        """What was given to it behind its end."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most ``max_length`` bytes of what ``data``, and what was given before, unpacks to."""


class _Bounded:
    """A decompressor of xz or zstd, whose pieces are bounded."""

    def __init__(self, stream: _Decompressor) -> None:
        self._stream = stream

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._stream.decompress(data, _PIECE)
        while not self._stream.needs_input and not self.eof:
            yield self._stream.decompress(b"", _PIECE)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data


def _xz() -> _Stream:
    return _Bounded(lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY))


def _zstd() -> _Stream:
    from backports.zstd import DecompressionParameter, ZstdDecompressor  # noqa: PLC0415 - most workers never need it

    return _Bounded(ZstdDecompressor(options={DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}))


_STREAMS: Final[Mapping[str, Callable[[], _Stream]]] = {"gzip": _Gzip, "xz": _xz, "zstd": _zstd}

#: What is unpacked, by the names of :func:`hypersdkd.host.image_header.detect`.
COMPRESSIONS: Final = frozenset(_STREAMS)


def new_file(directory: Path, stem: str) -> Path:
    """A name in our own ``directory`` that no file has yet: a guest may have several sources to unpack."""
    return next(path for number in count(1) if not (path := directory / f"{stem}-{number}").exists())


def unpack(
    image: ImageFile, kind: str, target: Path, on_progress: Callable[[int, int], None], limit: int = MAX_VIRTUAL_SIZE
) -> None:
    """Write what ``image``, compressed by ``kind``, holds to the new file ``target``; ``limit`` bytes at most.

    ``on_progress`` gets bytes done and in all, of the packed ones. Raises ``image-truncated``, ``image-invalid``,
    ``image-limits`` and ``no-space``. The file is removed after any error.
    """
    with _Sparse(target, image) as file:
        for consumed, piece in decompressed(image, kind):
            file.write(piece, consumed, limit)
            on_progress(consumed, image.size)


def unpack_member(archive: ImageFile, member: Member, target: Path, on_progress: Callable[[int, int], None]) -> None:
    """Write a member of a tar archive that was packed with its holes left out to the new file ``target``.

    Raises ``image-invalid`` where its map makes no sense, ``image-unsupported``, and what :func:`unpack` does.
    """
    if member.sparse not in ("gnu", "pax"):
        raise fail(
            "image-unsupported",
            f"{member.name} in {archive.name} was packed with its holes in {member.sparse}",
            remedy="Pack it by GNU tar of 2005 or later, or without --sparse.",
        )
    if member.real_size > MAX_VIRTUAL_SIZE:
        raise fail("image-limits", f"{member.name} in {archive.name} claims {member.real_size} bytes")
    data_at, segments = _pax_map(archive, member) if member.sparse == "pax" else _gnu_map(archive, member)
    done = 0
    with _Sparse(target, archive) as file:
        for offset, length in segments:
            if (
                offset < file.size
                or offset + length > member.real_size
                or data_at + length > member.offset + member.size
            ):
                raise fail("image-invalid", f"{member.name} in {archive.name} has a map of holes that makes no sense")
            file.seek(offset)
            for start in range(0, length, _PIECE):
                piece = archive.read(data_at + start, min(_PIECE, length - start), f"member {member.name}")
                done += len(piece)
                file.write(piece, done, member.real_size)
                on_progress(done, member.size)
            data_at += length
        file.seek(member.real_size)


def _gnu_map(archive: ImageFile, member: Member) -> tuple[int, list[tuple[int, int]]]:
    """Pairs of offset and length: four in the header, 21 in each continuation."""
    block = archive.read(member.header, 512, "header")
    area, more, at = block[386:482], block[482], member.header
    segments: list[tuple[int, int]] = []
    while True:
        for place in range(0, len(area), 24):
            pair = area[place : place + 24]
            if pair[0]:
                segments.append((_gnu_number(member, pair[:12]), _gnu_number(member, pair[12:])))
        if not more:
            return member.offset, segments
        at += 512
        block = archive.read(at, 512, "map of holes")
        area, more = block[:504], block[504]


def _gnu_number(member: Member, field: bytes) -> int:
    try:
        return int.from_bytes(field[1:], "big") if field[0] & 0x80 else int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise fail("image-invalid", f"{member.name} has a map of holes without a number where one should be") from error


def _pax_map(archive: ImageFile, member: Member) -> tuple[int, list[tuple[int, int]]]:
    """Lines of digits before the data, padded to whole blocks: how many pairs, then offset and length of each."""
    lines = _lines(archive, member)
    count, at = next(lines)
    if count > _MAX_SEGMENTS:
        raise fail("image-limits", f"{member.name} has {count} pieces; {_MAX_SEGMENTS} are allowed")
    segments = []
    for _ in range(count):
        offset, _ = next(lines)
        length, at = next(lines)
        segments.append((offset, length))
    return at, segments


def _lines(archive: ImageFile, member: Member) -> Iterator[tuple[int, int]]:
    """Each number, and where the block ends that it stands in; without an end."""
    at, rest = member.offset, b""
    while True:
        block = archive.read(at, 512, "map of holes")
        at += 512
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield _digits(member, line), at
        if len(rest) > 512:
            _digits(member, rest)


def _digits(member: Member, text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise fail("image-invalid", f"{member.name} has a map of holes without a number where one should be")
    return int(text)


def decompressed(image: ImageFile, kind: str) -> Iterator[tuple[int, bytes]]:
    """Pieces of the content, of bounded size, each with how many packed bytes it took; streams that follow one another
    are one. Raises ``image-truncated``, ``image-invalid`` and ``image-limits``."""
    make = _STREAMS[kind]
    stream, begun = make(), False
    for start in range(0, image.size, _INPUT):
        data = image.read(start, min(_INPUT, image.size - start), "compressed data")
        consumed = start + len(data)
        while data:
            if stream.eof:
                if begun and not data.strip(b"\0"):
                    break  # padding
                stream = make()
            try:
                for piece in stream.pieces(data):
                    yield consumed, piece
            except ProblemError:
                raise
            except Exception as error:  # zlib.error, LZMAError, ZstdError: whatever goes wrong with a stranger's bytes
                raise _damaged(image, kind, error) from error
            begun = True
            data = stream.unused_data if stream.eof else b""
    if not stream.eof:
        raise fail("image-truncated", f"{image.name} ends in the middle of its {kind} data")


def _damaged(image: ImageFile, kind: str, error: Exception) -> ProblemError:
    words = str(error).lower()
    if isinstance(error, MemoryError) or "memory" in words:  # all three name it so
        return fail("image-limits", f"{image.name} needs more memory to unpack than is allowed: {error}")
    return fail("image-invalid", f"the {kind} data of {image.name} is damaged: {error}")


class _Sparse:
    """A new file; zeros that are written become holes. It is removed if anything goes wrong."""

    def __init__(self, path: Path, source: ImageFile) -> None:
        self._path = path
        self._name = source.name
        seconds = LEAST_SECONDS + SECONDS_PER_GIB * source.size / (1 << 30)
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        self._data = self._looked = 0
        self.size = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end()
            else:
                self._path.unlink()
        finally:
            os.close(self._fd)

    def _end(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:  # a file has 16 TiB at most on ext4
            self._path.unlink()
            raise fail(
                "output-unwritable",
                f"{self._path.parent} cannot hold the {self.size} bytes of {self._name}: {error.strerror}",
                remedy="Put the queue on a file system with larger files, such as XFS.",
            ) from error

    def seek(self, offset: int) -> None:
        """What lies between is a hole."""
        self.size = offset

    def write(self, data: bytes, consumed: int, limit: int) -> None:
        """Append ``data``; ``consumed`` are the packed bytes up to here, ``limit`` those of the whole file."""
        if self.size + len(data) > limit:
            raise fail("image-limits", f"{self._name} unpacks to more than the {limit} bytes that it should have")
        if time.monotonic() > self._until:
            raise fail("image-limits", f"unpacking {self._name} took over {self._seconds:.0f} s")
        for start in range(0, len(data), _HOLE):
            block = data[start : start + _HOLE]
            if block != _ZEROS[: len(block)]:
                self._write(block, self.size + start)
        self.size += len(data)
        if self._data > FREE_OF_RATIO + MAX_RATIO * consumed:
            raise fail(
                "image-limits",
                f"{self._name} unpacks to over {MAX_RATIO} times its size",
                remedy="Check where it comes from; if it is what it should be, unpack it by hand.",
            )

    def _write(self, block: bytes, offset: int) -> None:
        if self._data >= self._looked:
            free = os.fstatvfs(self._fd)
            if free.f_bavail * free.f_frsize < LEAD:
                raise self._full()
            self._looked = self._data + _LOOK_EVERY
        try:
            written = os.pwrite(self._fd, block, offset)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full() from error
            raise fail("output-unwritable", f"{self._path.parent} cannot be written: {error.strerror}") from error
        self._data += written
        if written < len(block):  # a full disk takes a part; the next call says so
            self._write(block[written:], offset + written)

    def _full(self) -> ProblemError:
        return fail(
            "no-space",
            f"the queue's file system became full while {self._name} was unpacked into it",
            remedy=f"Free more than {LEAD} bytes there, or unpack it by hand where there is space, then retry the job.",
        )
