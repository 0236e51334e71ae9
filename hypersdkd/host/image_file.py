"""A disk image as bytes: bounded reads of a file that is already open, and what was found out about it."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from hypersdkd.host.files import open_regular
from hypersdkd.model.problem import Problem, fail, one_line

#: The largest virtual disk that is read, in bytes (64 TiB: twice the largest of VMware's, 62 TiB, rounded down).
MAX_VIRTUAL_SIZE: Final = 64 << 40

#: Bytes of one table (an L1 table, a grain directory, a block map) that are read at most: qemu's own limit for L1.
MAX_TABLE: Final = 32 << 20

SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image's own header says, once it has been judged.

    ``format`` is what a manifest calls it, ``variant`` the format's own word; sizes in bytes. ``warnings`` do not
    keep the image from being read. ``backing`` are the names of backing files, as they stand in the images, that were
    opened and judged.
    """

    format: str
    variant: str
    virtual_size: int
    file_size: int
    warnings: tuple[Problem, ...] = ()
    backing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An open regular file, or the part of one that begins at byte ``base``. ``name`` is only for messages; ``size``
    is what it was when it was opened.

    ``until`` is the monotonic time at which reading gives up: small files can claim millions of tables.
    """

    fd: int
    size: int
    name: str
    until: float = math.inf
    base: int = 0

    @classmethod
    def of(cls, fd: int, name: str, *, seconds: float = math.inf) -> ImageFile:
        """Wrap the descriptor of a regular file, to be read for ``seconds`` at most."""
        return cls(fd, os.fstat(fd).st_size, one_line(name), time.monotonic() + seconds)

    def part(self, offset: int, size: int, name: str) -> ImageFile:
        """A file within it, such as a member of an archive. Raises ``image-truncated`` beyond the end."""
        self.must_hold(offset, size, one_line(name))
        return replace(self, base=self.base + offset, size=size, name=one_line(name))

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Exactly ``length`` bytes, named ``what`` in messages.

        Raises ``image-truncated`` beyond the end, ``image-limits`` when the time is over.
        """
        self.require_time()
        self.must_hold(offset, length, what)
        data = bytearray()
        while len(data) < length:
            chunk = os.pread(self.fd, length - len(data), self.base + offset + len(data))
            if not chunk:
                raise fail("source-changed", f"{self.name} became shorter while it was read")
            data += chunk
        return bytes(data)

    def require_time(self) -> None:
        """Raises ``image-limits`` when the time is over."""
        if time.monotonic() > self.until:
            raise fail("image-limits", f"{self.name} has more tables than can be read in the time allowed")

    def must_hold(self, offset: int, length: int, what: str) -> None:
        """Raises ``image-truncated`` unless the file reaches as far as ``what`` does."""
        if offset + length > self.size:
            raise fail(
                "image-truncated",
                f"{self.name} has {self.size} bytes, but its {what} ends at byte {offset + length}",
            )

    def start(self, length: int) -> bytes:
        """The first ``length`` bytes, or all there are."""
        return os.pread(self.fd, min(length, self.size), self.base)

    def end(self, length: int) -> bytes:
        """The last ``length`` bytes, or all there are."""
        start = max(0, self.size - length)
        return os.pread(self.fd, self.size - start, self.base + start)


@contextmanager
def opened(path: Path, *, seconds: float = math.inf) -> Iterator[ImageFile]:
    """Open a file that is ours or in the queue, for looking at it. Raises ``OSError`` and ``source-not-regular``."""
    try:
        fd = open_regular(path)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise fail("source-not-regular", f"{path.name} is not a regular file") from error
        raise
    try:
        yield ImageFile.of(fd, path.name, seconds=seconds)
    finally:
        os.close(fd)


def check_virtual_size(name: str, size: int) -> int:
    """``size`` if a disk can be that large. Raises ``image-invalid`` and ``image-limits``."""
    if size <= 0:
        raise fail("image-invalid", f"{name} describes a disk without any sectors")
    if size > MAX_VIRTUAL_SIZE:
        raise fail("image-limits", f"{name} claims a disk of {size} bytes; {MAX_VIRTUAL_SIZE} are allowed")
    return size


def check_table(name: str, what: str, length: int) -> int:
    """``length`` bytes if a table may be that long. Raises ``image-limits``."""
    if length > MAX_TABLE:
        raise fail("image-limits", f"{name} claims a {what} of {length} bytes; {MAX_TABLE} are allowed")
    return length
