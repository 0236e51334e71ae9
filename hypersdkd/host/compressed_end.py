"""Whether a compressed file has its own end yet, without unpacking all of it.

xz ends with a footer, zstd says how long each of its blocks is; gzip says nothing but the length of what was packed,
modulo 2^32, in its last bytes. RFC 1952, RFC 8878, and the XZ file format 1.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from hypersdkd.host import unpacking
from hypersdkd.host.image_file import SECTOR, ImageFile
from hypersdkd.model.problem import ProblemError, fail

_XZ_MAGIC: Final = b"YZ"
#: Sum of the rest, length of the index in units of four bytes less one, flags, magic.
_XZ_FOOTER: Final = struct.Struct("<II2s2s")
_XZ_HEADER: Final = 12
#: Bytes of padding behind it that are looked through.
_XZ_PADDING: Final = 64 << 10

_ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_SKIPPED: Final = range(0x184D2A50, 0x184D2A60)
_ZSTD_RLE: Final = 1

#: Bytes that are unpacked to see the end: about 30 ms.
_GZIP_UNPACKED: Final = 8 << 20
_TAR_MAGIC: Final = slice(257, 262)


def require_end(image: ImageFile, kind: str) -> None:
    """Raises ``image-truncated`` if a file, compressed by ``kind``, clearly has no end yet; what is damaged has one.

    ``kind`` is one of :data:`hypersdkd.host.unpacking.COMPRESSIONS`. Raises ``image-limits`` when the time is over.
    """
    if not _READERS[kind](image):
        raise fail("image-truncated", f"{image.name} ends in the middle of its {kind} data")


def _has_xz_end(image: ImageFile) -> bool:
    tail = image.end(_XZ_PADDING).rstrip(b"\0")[-_XZ_FOOTER.size :]
    if len(tail) < _XZ_FOOTER.size:
        return False
    total, index = _XZ_FOOTER.unpack(tail)[:2]
    fits: bool = _XZ_HEADER + 4 * (index + 1) + _XZ_FOOTER.size <= image.size
    return fits and tail.endswith(_XZ_MAGIC) and total == zlib.crc32(tail[4:10])


def _has_zstd_end(image: ImageFile) -> bool:
    """Go from block to block, and from frame to frame."""
    at = 0
    while at < image.size:
        magic, length = struct.unpack("<II", image.read(at, 8, "next frame"))
        if magic in _ZSTD_SKIPPED:
            at += 8 + length
        elif magic == _ZSTD_MAGIC:
            at = _end_of_frame(image, at + 4)
        else:  # padding, or nothing that more bytes would mend
            return True
    return at == image.size


def _end_of_frame(image: ImageFile, at: int) -> int:
    descriptor = image.read(at, 1, "frame header")[0]
    is_single, dictionary = descriptor >> 5 & 1, descriptor & 3
    at += 1 + (not is_single) + (0, 1, 2, 4)[dictionary] + (is_single, 2, 4, 8)[descriptor >> 6]
    is_last = 0
    while not is_last:
        block = int.from_bytes(image.read(at, 3, "next block"), "little")
        if block == 0 and not any(image.end(8)):  # space that was only set aside
            return image.size + 1
        is_last, kind = block & 1, block >> 1 & 3
        at += 3 + (1 if kind == _ZSTD_RLE else block >> 3)
    return at + 4 * (descriptor >> 2 & 1)


def _has_gzip_end(image: ImageFile) -> bool:
    """A small file is unpacked. Of a large one nothing tells, unless there is an archive in it: that has whole blocks,
    and one in 512 beginnings of it passes for one."""
    start, done = b"", 0
    try:
        for _, piece in unpacking.decompressed(image, "gzip"):
            start, done = start or piece[:SECTOR], done + len(piece)
            if done > _GZIP_UNPACKED:
                break
        else:
            return True
    except ProblemError as error:
        if error.problem.code != "image-limits":
            return error.problem.code != "image-truncated"
    if start[_TAR_MAGIC] != b"ustar":
        return True
    end = image.end(8)
    return any(end) and int.from_bytes(end[4:], "little") % SECTOR == 0


_READERS: Final[Mapping[str, Callable[[ImageFile], bool]]] = {
    "gzip": _has_gzip_end,
    "xz": _has_xz_end,
    "zstd": _has_zstd_end,
}
