"""SHA-256 of a file, with holes not read, and an end in bounded time."""

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

_CHUNK: Final = 1 << 20


def sha256_of(fd: int, name: str, on_progress: Callable[[int], None] | None = None) -> str:
    """``sha256:HEX`` of the open file ``fd``; ``on_progress`` gets the bytes that are done.

    A small file can claim to be endless by its holes. They take time too, but do not lengthen the limit.
    Raises ``image-limits`` when the time is over, ``source-changed`` when the file becomes shorter meanwhile.
    """
    status = os.fstat(fd)
    seconds = LEAST_SECONDS + SECONDS_PER_GIB * status.st_blocks * 512 / (1 << 30)
    until = time.monotonic() + seconds
    digest = hashlib.sha256()
    zeros = memoryview(bytes(_CHUNK))
    done = 0
    for start, end, is_data in _extents(fd, status.st_size):
        for offset in range(start, end, _CHUNK):
            length = min(_CHUNK, end - offset)
            digest.update(_read(fd, offset, length, name) if is_data else zeros[:length])
            done += length
            if on_progress is not None:
                on_progress(done)
            if time.monotonic() > until:
                raise fail("image-limits", f"the checksum of {name}, {status.st_size} bytes, took over {seconds:.0f} s")
    return f"sha256:{digest.hexdigest()}"


def _extents(fd: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """Start, end, and whether there is data; without gaps from 0 to ``size``."""
    offset = 0
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


def _read(fd: int, offset: int, length: int, name: str) -> bytes:
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise fail("source-changed", f"{name} became shorter while it was read")
        data += more
    return data
