"""The metadata of a VHDX: sizes, and whose child it is. Layout: MS-VHDX, 2.6."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.parent import ParentClaim, path_names
from hypersdkd.model.problem import fail


def _id(text: str) -> bytes:
    return UUID(text).bytes_le


REGION: Final = _id("8b7ca206-4790-4b9a-b8fe-575f050f886e")

_PARAMETERS: Final = _id("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_SIZE: Final = _id("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_SECTOR: Final = _id("8141bf1d-a96f-4709-ba47-f233a8faab5f")
_LOCATOR: Final = _id("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
#: What a reader must know besides: the disk's id, and the size of its physical sectors.
_OTHERS: Final = frozenset({_id("beca12ab-b2e6-4523-93ef-c309e000c746"), _id("cda348c7-445d-4471-9cc9-e9885251c556")})
_LOCATOR_TYPE: Final = _id("b04aefb7-d19e-4a81-b789-25b8e9445913")

_TABLE: Final = struct.Struct("<8s2xH20x")
_ENTRY: Final = struct.Struct("<16sIII4x")
_TABLE_LENGTH: Final = 64 << 10
_MAX_ENTRIES: Final = 1023
_REQUIRED: Final = 4
#: Bytes of the numbers, and of a parent locator, 1 MiB by the specification; paths have 64 KiB.
_NUMBERS: Final = {_PARAMETERS: 8, _SIZE: 8, _SECTOR: 4}
_MAX_LOCATOR: Final = 1 << 20

_FIXED, _HAS_PARENT = 1, 2
_BLOCK_SIZES: Final = tuple(1 << bits for bits in range(20, 29))  # 1 MiB to 256 MiB
_SECTORS: Final = (512, 4096)

_KEY: Final = struct.Struct("<IIHH")
#: By preference: what was beside the child lies beside it now.
_PATHS: Final = ("relative_path", "absolute_win32_path", "volume_path")
_LINKAGES: Final = ("parent_linkage", "parent_linkage2")


@dataclass(frozen=True, slots=True)
class Metadata:
    """Bytes of the disk, of a block and of a sector; ``fixed``: all blocks are allocated."""

    size: int
    block: int
    sector: int
    fixed: bool
    parent: ParentClaim | None


def read_metadata(image: ImageFile, region: tuple[int, int]) -> Metadata:
    """Read the items that are known; raises ``image-invalid``, and ``image-unsupported`` for one that must be."""
    items = _read_items(image, region)
    if not _NUMBERS.keys() <= items.keys():
        raise fail("image-invalid", f"{image.name} does not say how large its disk is")
    block, flags = struct.unpack("<II", items[_PARAMETERS])
    size = int.from_bytes(items[_SIZE], "little")
    sector = int.from_bytes(items[_SECTOR], "little")
    if block not in _BLOCK_SIZES or sector not in _SECTORS:
        raise fail("image-limits", f"{image.name} claims blocks of {block} bytes, sectors of {sector}")
    if size % sector:
        raise fail("image-invalid", f"{image.name} has a disk of {size} bytes, which is no whole number of sectors")
    parent = None
    if flags & _HAS_PARENT:
        if _LOCATOR not in items:
            raise fail("source-incomplete", f"{image.name} holds the differences from a disk that it does not name")
        parent = _read_locator(image, items[_LOCATOR])
    return Metadata(size, block, sector, bool(flags & _FIXED), parent)


def _read_items(image: ImageFile, region: tuple[int, int]) -> dict[bytes, bytes]:
    start, end = region
    raw = image.read(start, min(_TABLE_LENGTH, end), "metadata")
    magic, count = _TABLE.unpack_from(raw)
    if magic != b"metadata" or count > _MAX_ENTRIES:
        raise fail("image-invalid", f"the metadata of {image.name} makes no sense")
    items: dict[bytes, bytes] = {}
    for number in range(count):
        kind, offset, length, flags = _ENTRY.unpack_from(raw, _TABLE.size + number * _ENTRY.size)
        if kind not in _NUMBERS and kind != _LOCATOR:
            if flags & _REQUIRED and kind not in _OTHERS:
                raise fail("image-unsupported", f"{image.name} has metadata of an unknown kind")
            continue
        allowed = length <= _MAX_LOCATOR if kind == _LOCATOR else length == _NUMBERS[kind]
        if kind in items or offset < _TABLE_LENGTH or offset + length > end or not allowed:
            raise fail("image-invalid", f"the metadata of {image.name} makes no sense")
        items[kind] = image.read(start + offset, length, "metadata")
    return items


def _read_locator(image: ImageFile, raw: bytes) -> ParentClaim:
    """Pairs of keys and values, in UTF-16."""
    broken = fail("image-invalid", f"{image.name} says in a broken way whose child it is")
    if len(raw) < 20:
        raise broken
    if raw[:16] != _LOCATOR_TYPE:
        raise fail("image-unsupported", f"{image.name} is not the child of a VHDX")
    values: dict[str, str] = {}
    for number in range(int.from_bytes(raw[18:20], "little")):
        at = 20 + number * _KEY.size
        if at + _KEY.size > len(raw):
            raise broken
        key_at, value_at, key_length, value_length = _KEY.unpack_from(raw, at)
        if max(key_at + key_length, value_at + value_length) > len(raw):
            raise broken
        key = raw[key_at : key_at + key_length].decode("utf-16-le", errors="replace")
        values[key] = raw[value_at : value_at + value_length].decode("utf-16-le", errors="replace")
    try:
        ids = frozenset(UUID(values[key]).bytes_le for key in _LINKAGES if key in values) - {bytes(16)}
    except ValueError as error:
        raise broken from error
    if not ids:
        raise broken
    return ParentClaim(path_names(values[key] for key in _PATHS if key in values), ids)
