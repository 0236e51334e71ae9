"""A differencing image as qemu can read it: a qcow2 image of ours that maps the disk's blocks to where they are.

qemu reads neither differencing VHDs nor differencing VHDXs. What such an image adds to its parent is a list of blocks
and, for each, the sectors that it holds. The tables of a qcow2 image with subclusters can say the same, so those are
made, in memory; the data stays where it is. One address space holds header, data and tables, by a VMDK descriptor with
flat extents. qcow2 wants clusters at multiples of their size, while a VHD's blocks begin at any sector: so the image's
file appears once for each remainder that there is, from that sector on.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.image_file import SECTOR, ImageFile
from hypersdkd.host.image_qcow2 import MAGIC
from hypersdkd.model.disk import Content, ImageNode, TextNode
from hypersdkd.model.problem import fail

#: Sectors of a cluster: qcow2 has one bit for each 32nd of it that is there, and one for each that is zero.
_SUBCLUSTERS: Final = 32
_ALL: Final = (1 << _SUBCLUSTERS) - 1
_ZEROS: Final = _ALL << _SUBCLUSTERS
_COPIED: Final = 1 << 63
_EXTENDED_L2: Final = 1 << 4
_ENTRY: Final = 16
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII8x")  # version 3, as in qemu's docs/interop/qcow2.txt

#: Bytes of tables: enough for 256 GiB in one image, and for eight times that with sectors of 4 KiB.
_MAX_TABLES: Final = 256 << 20
_MAX_L1: Final = 32 << 20  # qemu's limit


@dataclass(frozen=True, slots=True)
class MappedBlock:
    """Block ``number``. ``offset`` is where its data is in the file, None for zeros. ``bits`` gives a bit for each of
    its sectors that is there, the least significant one first; None where all are."""

    number: int
    offset: int | None
    bits: Callable[[], bytes] | None = None


@dataclass(frozen=True, slots=True)
class MappedDisk:
    """Sizes in bytes: of the disk, of a block and of a sector. ``image`` is file number ``index`` of the source."""

    image: ImageFile
    index: int
    size: int
    block: int
    sector: int = SECTOR

    @property
    def cluster(self) -> int:
        """Bytes of one entry of a table of ours."""
        return _SUBCLUSTERS * self.sector


def mapped(disk: MappedDisk, blocks: Sequence[MappedBlock], parent: ImageNode | None) -> ImageNode:
    """How qemu is to open a disk that has these blocks, and all else from ``parent``, or zeros.

    Raises ``image-limits`` where there are too many, ``image-unsupported`` where a block is less than a cluster.
    """
    if disk.block < disk.cluster:
        message = f"{disk.image.name} has blocks of {disk.block} bytes; of a child {disk.cluster} or more are read"
        raise fail("image-unsupported", message)
    remainders = sorted({block.offset % disk.cluster for block in blocks if block.offset is not None})
    head, view = 2 * disk.cluster, -(-disk.image.size // disk.cluster) * disk.cluster
    moved = {remainder: head + number * view - remainder for number, remainder in enumerate(remainders)}
    tables_at = head + len(remainders) * view
    tables = _Tables(disk, tables_at)
    for block in blocks:
        place = None if block.offset is None else block.offset + moved[block.offset % disk.cluster]
        tables.put(block.number * disk.block // disk.cluster, _entries(disk, block, place))
    content = tables.content()
    parts: list[str | int | Content] = [_TEXT, *_line(head, Content(_header(disk, tables_at, tables.l1_entries)))]
    for remainder in remainders:
        parts += _line(view, disk.index, remainder)
    parts += _line(len(content), Content(content))
    return ImageNode("qcow2", ImageNode("vmdk", TextNode(tuple(parts))), parent)


_TEXT: Final = '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="twoGbMaxExtentFlat"\n'


def _line(length: int, content: int | Content, offset: int = 0) -> list[str | int | Content]:
    return [f'RW {length // SECTOR} FLAT "', content, f'" {offset // SECTOR}\n']


def _header(disk: MappedDisk, tables_at: int, l1_entries: int) -> bytes:
    """A header, and a refcount table of nothing: qemu wants one, and reads it only to write."""
    bits = disk.cluster.bit_length() - 1
    fields = (MAGIC, 3, 0, 0, bits, disk.size, 0, l1_entries, tables_at, disk.cluster, 1, 0, 0)
    return _HEADER.pack(*fields, _EXTENDED_L2, 0, 0, 4, 104).ljust(2 * disk.cluster, b"\0")


def _entries(disk: MappedDisk, block: MappedBlock, place: int | None) -> array[int]:
    """The entries of a block's clusters, two numbers each: where the data is, and which sectors of it are there."""
    rest = disk.size - block.number * disk.block
    count = -(-min(disk.block, rest) // disk.cluster)
    entries = array("Q", bytes(_ENTRY * count))
    if place is None:
        entries[1::2] = array("Q", [_ZEROS]) * count
        return entries
    entries[0::2] = array("Q", range(place | _COPIED, (place | _COPIED) + count * disk.cluster, disk.cluster))
    if block.bits is None:
        entries[1::2] = array("Q", [_ALL]) * count
    else:
        entries[1::2] = array("Q", struct.unpack_from(f"<{count}I", block.bits()))
    return entries


class _Tables:
    """L1 and L2 tables, which lie at byte ``at`` of the address space."""

    def __init__(self, disk: MappedDisk, at: int) -> None:
        self._name = disk.image.name
        self._cluster = disk.cluster
        self._at = at
        self._per_table = disk.cluster // _ENTRY
        self.l1_entries = -(-disk.size // (disk.cluster * self._per_table))
        if 8 * self.l1_entries > _MAX_L1:
            raise self._too_many()
        self._tables: dict[int, array[int]] = {}

    def put(self, first: int, entries: array[int]) -> None:
        """Enter those of clusters from number ``first`` on."""
        for number, start, piece in self._pieces(first, entries):
            table = self._tables.get(number)
            if table is None:
                if (len(self._tables) + 1) * self._cluster > _MAX_TABLES:
                    raise self._too_many()
                table = self._tables[number] = array("Q", bytes(self._cluster))
            table[2 * start : 2 * start + len(piece)] = piece

    def _pieces(self, first: int, entries: array[int]) -> Iterator[tuple[int, int, array[int]]]:
        done = 0
        while done < len(entries) // 2:
            number, start = divmod(first + done, self._per_table)
            count = min(self._per_table - start, len(entries) // 2 - done)
            yield number, start, entries[2 * done : 2 * (done + count)]
            done += count

    def content(self) -> bytes:
        """All of them, the L1 table first."""
        l1 = array("Q", bytes(-(-8 * self.l1_entries // self._cluster) * self._cluster))
        at = self._at + 8 * len(l1)
        for place, number in enumerate(self._tables):
            l1[number] = at + place * self._cluster | _COPIED
        tables = [l1, *self._tables.values()]
        if sys.byteorder == "little":
            for table in tables:
                table.byteswap()
        return b"".join(tables)

    def _too_many(self) -> Exception:
        return fail(
            "image-limits",
            f"{self._name} differs from its parent in more than can be read",
            remedy="Merge it into its parent where it comes from: delete the checkpoint in Hyper-V, or `Merge-VHD`.",
        )
