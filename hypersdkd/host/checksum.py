"""Checksums of files, with holes not read, and an end in bounded time."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from hypersdkd.model.problem import fail

#: The time limit: seconds at least, and seconds for each GiB that is really on disk (17 MB/s).
LEAST_SECONDS: Final = 600.0
SECONDS_PER_GIB: Final = 60.0

#: Read and hashed at once: as much as a processor's cache keeps meanwhile.
_CHUNK: Final = 1 << 18


def sha256_of(fd: int, name: str, on_progress: Callable[[int], None] | None = None) -> str:
    """``sha256:HEX`` of the open file ``fd``; the rest as :func:`digits_of`."""
    return f"sha256:{digits_of(fd, name, 'sha256', 0, os.fstat(fd).st_size, on_progress)}"


def digits_of(
    fd: int, name: str, algorithm: str, start: int, size: int, on_progress: Callable[[int], None] | None = None
) -> str:
    """The checksum of ``size`` bytes from ``start`` of the open file ``fd``, by hashlib's ``algorithm``, in lower case.

    ``on_progress`` gets the bytes that are done. A small file can claim to be endless by its holes. They take time too,
    but do not lengthen the limit. Raises ``image-limits`` when the time is over, ``source-changed`` when the file
    becomes shorter meanwhile.
    """
    seconds = LEAST_SECONDS + SECONDS_PER_GIB * os.fstat(fd).st_blocks * 512 / (1 << 30)
    until = time.monotonic() + seconds
    digest = hashlib.new(algorithm)
    zeros, buffer = memoryview(bytes(_CHUNK)), memoryview(bytearray(_CHUNK))
    for first, end, is_data in _extents(fd, start, start + size):
        for offset in range(first, end, _CHUNK):
            length = min(_CHUNK, end - offset)
            digest.update(_read(fd, offset, buffer[:length], name) if is_data else zeros[:length])
            if on_progress is not None:
                on_progress(offset + length - start)
            if time.monotonic() > until:
                raise fail("image-limits", f"the checksum of {name}, {size} bytes, took over {seconds:.0f} s")
    return digest.hexdigest()


def _extents(fd: int, offset: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """Start, end, and whether there is data; without gaps from ``offset`` to ``size``."""
    while offset < size:
        try:
            data = min(os.lseek(fd, offset, os.SEEK_DATA), size)
            hole = min(os.lseek(fd, data, os.SEEK_HOLE), size) if data < size else size
        except OSError as error:
            data, hole = (
                (size, size) if error.errno == errno.ENXIO else (offset, size)
            )  # a hole to the end, or no holes
        if offset < data:
            yield offset, data, False
        if data < hole:
            yield data, hole, True
        offset = hole


def _read(fd: int, offset: int, buffer: memoryview, name: str) -> memoryview:
    """Fill the buffer."""
    done = 0
    while done < len(buffer):
        count = os.preadv(fd, [buffer[done:]], offset + done)
        if not count:
            raise fail("source-changed", f"{name} became shorter while it was read")
        done += count
    return buffer
