"""VMDK: judge the sparse extents of ESXi's snapshots by their headers and tables.

``COWD`` (vmfsSparse, VMFS 5): VMware's Virtual Disk Format 5.0. seSparse (VMFS 6) is not published; what is read is
what qemu's reader knows of it, and no more.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final

from hypersdkd.host.image_file import SECTOR, ImageFile, check_table, check_virtual_size
from hypersdkd.model.problem import fail

COWD_MAGIC: Final = b"COWD"
SESPARSE_MAGIC: Final = b"\xbe\xba\xfe\xca\0\0\0\0"

#: Magic, version, flags, sectors, sectors of a grain, where the directory is, its entries, the next free sector.
_COWD: Final = struct.Struct("<4sIIIIIII")
_TABLE_ENTRIES: Final = 4096

_SESPARSE: Final = struct.Struct("<26Q")
_SESPARSE_VERSION: Final = 0x2_0000_0001
_SESPARSE_GRAIN: Final = 8
_SESPARSE_TABLE: Final = 64  # sectors
_VOLATILE_MAGIC: Final = 0xCAFE_CAFE
_TABLE_ALLOCATED: Final = 0x1000_0000
_GRAIN_ALLOCATED: Final = 3
_HIGH_PART: Final = (1 << 48) - 1


def judge_cowd(image: ImageFile) -> tuple[int, int]:
    """The sectors of a ``COWD`` extent, and those of its grains; raises what keeps it from being read whole."""
    raw = image.read(0, _COWD.size, "header")
    magic, version, _, sectors, grain, directory, entries, _ = _COWD.unpack(raw)
    if magic != COWD_MAGIC or version != 1 or directory == 0:
        raise fail("image-invalid", f"the header of {image.name} makes no sense")
    check_virtual_size(image.name, sectors * SECTOR)
    if not 1 <= grain <= 65536 or entries * _TABLE_ENTRIES * grain < sectors:
        raise fail("image-invalid", f"{image.name} claims {entries} tables of grains of {grain} sectors")
    length = check_table(image.name, "grain directory", 4 * entries)
    for table in _numbers("I", image.read(directory * SECTOR, length, "grain directory")):
        if table:
            last = max(_numbers("I", image.read(table * SECTOR, 4 * _TABLE_ENTRIES, "grain table")))
            # The disk's last grain may be a short one; that is by less than a grain, and the file was padded.
            image.must_hold(last * SECTOR, SECTOR if last else 0, "data")
    return sectors, grain


def judge_sesparse(image: ImageFile) -> tuple[int, int]:
    """The sectors of a seSparse extent, and those of its grains; raises what keeps it from being read whole."""
    raw = image.read(0, SECTOR, "header")
    values = _SESPARSE.unpack_from(raw)
    _, version, sectors, grain, table_sectors, flags = values[:6]
    volatile, directory, directory_size, tables, grains = values[10], values[16], values[17], values[18], values[24]
    if not raw.startswith(SESPARSE_MAGIC) or version != _SESPARSE_VERSION or any(raw[_SESPARSE.size :]):
        raise fail("image-unsupported", f"{image.name} is a seSparse extent of a version that is not read")
    if (grain, table_sectors, flags, *values[6:10]) != (_SESPARSE_GRAIN, _SESPARSE_TABLE, 0, 0, 0, 0, 0):
        raise fail("image-unsupported", f"{image.name} is a seSparse extent with features that are not read")
    check_virtual_size(image.name, sectors * SECTOR)
    magic, _, _, replay = struct.unpack_from("<4Q", image.read(volatile * SECTOR, SECTOR, "second header"))
    if magic != _VOLATILE_MAGIC:
        raise fail("image-invalid", f"the second header of {image.name} makes no sense")
    if replay:
        raise fail(
            "image-unsupported",
            f"{image.name} was not closed cleanly: it has a journal to be replayed",
            remedy="Open and close the disk on its ESXi host once, or consolidate the snapshots there.",
        )
    length = check_table(image.name, "grain directory", directory_size * SECTOR)
    if length // 8 * _TABLE_ENTRIES * grain < sectors:
        raise fail("image-invalid", f"the grain directory of {image.name} does not reach its end")
    for entry in _numbers("Q", image.read(directory * SECTOR, length, "grain directory")):
        if entry:
            _check_table(image, entry, tables, grains)
    return sectors, grain


def _check_table(image: ImageFile, entry: int, tables: int, grains: int) -> None:
    """Every grain that a table of a seSparse extent names must lie within the file."""
    if entry >> 32 != _TABLE_ALLOCATED:
        raise fail("image-invalid", f"the grain directory of {image.name} makes no sense")
    offset = (tables + (entry & 0xFFFF_FFFF) * _SESPARSE_TABLE) * SECTOR
    table = set(_numbers("Q", image.read(offset, 8 * _TABLE_ENTRIES, "grain table")))
    if any(value >> 60 > _GRAIN_ALLOCATED or 0 < value < 1 << 60 for value in table):
        raise fail("image-invalid", f"a grain table of {image.name} makes no sense")
    numbers = ((value >> 48 & 0xFFF) | (value & _HIGH_PART) << 12 for value in table if value >> 60 == _GRAIN_ALLOCATED)
    last = max(numbers, default=-1)
    if last >= 0:
        image.must_hold((grains + last * _SESPARSE_GRAIN) * SECTOR, _SESPARSE_GRAIN * SECTOR, "data")


def _numbers(kind: str, raw: bytes) -> array[int]:
    """Numbers of 4 (``I``) or 8 bytes (``Q``), as they stand in a VMDK."""
    numbers = array(kind, raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
