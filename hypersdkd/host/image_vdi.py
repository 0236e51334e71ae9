"""VDI: judge an image by its header and its block map. Layout: the comments of qemu's block/vdi.c."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Final
from uuid import UUID

from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_table, check_virtual_size
from hypersdkd.host.places import Places
from hypersdkd.model.problem import fail

#: The signature, as it stands in the file at :data:`MAGIC_OFFSET`.
MAGIC: Final = b"\x7f\x10\xda\xbe"
MAGIC_OFFSET: Final = 0x40

#: The only version that is read, 1.1.
_VERSION: Final = 0x00010001
_BLOCK: Final = 1 << 20
_VARIANTS: Final = {1: "dynamic", 2: "static"}
_UNDO, _DIFFERENCING = 3, 4
#: Ids of the parent and of the parent's state, as they stand in the header; of a disk that stands alone zeros.
_LINKS: Final = slice(0x1A8, 0x1C8)
_NOT_STORED: Final = 0xFFFF_FFFE  # discarded; one more is "never written"
_SLICE: Final = 1 << 16  # entries of the map that are in memory at once
_NO_UUID: Final = bytes(16)


def judge(image: ImageFile) -> ImageFacts:
    """Read header and block map; raises the problem that keeps the image from being read safely and whole."""
    raw = image.read(0, SECTOR, "header")
    magic, version, _, kind = struct.unpack_from("<4sIII", raw, MAGIC_OFFSET)
    map_offset, data_offset = struct.unpack_from("<II", raw, 0x154)
    (sector,) = struct.unpack_from("<I", raw, 0x168)
    size, block, extra, blocks, _ = struct.unpack_from("<QIIII", raw, 0x170)
    if magic != MAGIC:
        raise fail("image-invalid", f"{image.name} does not begin like a VDI image")
    if version != _VERSION:
        raise fail("image-unsupported", f"{image.name} is VDI version {version >> 16}.{version & 0xFFFF}; 1.1 is read")
    if kind in {_UNDO, _DIFFERENCING} or raw[_LINKS] != _NO_UUID * 2:
        parent = UUID(bytes_le=raw[_LINKS][:16])
        raise fail(
            "image-backing",
            f"{image.name} holds only the differences from another image, {parent}",
            remedy="Make a disk of it where VirtualBox knows both: `VBoxManage clonemedium disk UUID whole.vdi`.",
        )
    if kind not in _VARIANTS:
        raise fail("image-unsupported", f"{image.name} is a VDI image of type {kind}; dynamic and static are read")
    if sector != SECTOR or block != _BLOCK or extra:
        raise fail("image-unsupported", f"{image.name} has blocks of {block}+{extra} bytes in sectors of {sector}")
    check_virtual_size(image.name, size)
    if map_offset < SECTOR or map_offset % SECTOR or data_offset % SECTOR:
        raise fail("image-invalid", f"the header of {image.name} makes no sense")
    check_table(image.name, "block map", 4 * blocks)
    if blocks != -(-size // block):  # the last one may be used in part
        message = f"{image.name} is a disk of {size} bytes, but has {blocks} blocks of {block}"
        raise fail("image-invalid", message)
    _check_map(image, map_offset, data_offset, blocks)
    return ImageFacts("vdi", _VARIANTS[kind], -(-size // SECTOR) * SECTOR, image.size)


def _check_map(image: ImageFile, map_offset: int, data_offset: int, blocks: int) -> None:
    """Every block that the map names must lie within the file, and be no other's. A slice at a time: the map may have
    32 MiB."""
    image.must_hold(map_offset, 4 * blocks, "block map")
    last, places = -1, Places(image, 1)
    for first in range(0, blocks, _SLICE):
        count = min(_SLICE, blocks - first)
        entries = array("I", image.read(map_offset + 4 * first, 4 * count, "block map"))
        if sys.byteorder == "big":
            entries.byteswap()
        stored = [entry for entry in entries if entry < _NOT_STORED]
        last = max(last, max(stored, default=-1))
        if last >= 0:
            image.must_hold(data_offset + last * _BLOCK, _BLOCK, "data")
        if not all(map(places.take, stored)):
            raise fail("image-invalid", f"the block map of {image.name} names a block twice")
