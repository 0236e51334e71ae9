"""VHD and VHDX disks of any number of files: Hyper-V's checkpoints, XenServer's snapshots, with their parents.

Each link of a chain is judged, its parent must lie beside the first file and be the very one that it was made of. The
last link, and any disk that is alone, is read by qemu; a child by tables of ours, see :mod:`hypersdkd.host.block_map`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from hypersdkd.host import image_vhd, image_vhdx
from hypersdkd.host.block_map import MappedBlock, MappedDisk, mapped
from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile
from hypersdkd.host.image_header import require_format
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.parent import ParentClaim
from hypersdkd.model.disk import FileNode, ImageNode
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line

#: Links of one chain; Hyper-V allows 50 checkpoints.
MAX_LINKS: Final = 64

#: Left to itself, qemu takes a VHD's size by its geometry, which cuts off what does not fill a cylinder; Hyper-V, Azure
#: and VirtualBox go by the size that is written there.
VHD_OPTIONS: Final[Mapping[str, str]] = {"force_size_calc": "current_size"}

#: A bitmap's bytes have the first sector as their most significant bit, a table's of ours as their least.
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Link:
    """One image of a chain. ``identity`` is what its children know it by; ``node`` says how qemu is to open it, over
    its parent if it has one. ``parent_time`` is when the parent was last changed, 0 if not known."""

    image: ImageFile
    facts: ImageFacts
    identity: bytes
    parent: ParentClaim | None
    node: Callable[[ImageNode | None], ImageNode]
    parent_time: int = 0


def read_disk(source: OpenSource, claimed: str) -> tuple[ImageFacts, ImageNode]:
    """Judge the disk that the first file of ``source`` is the top of, which is claimed to be ``vhd`` or ``vhdx``.

    Opens all the others. Raises the problem that keeps it from being read safely and whole.
    """
    read = _READERS[claimed]
    links = [read(source, source.images[0])]
    warnings = [*links[0].facts.warnings]
    while (claim := links[-1].parent) is not None:
        if len(links) >= MAX_LINKS:
            raise fail("image-limits", f"{source.images[0].name} has over {MAX_LINKS} parents")
        child, image = links[-1], _open_parent(source, links[-1].image, claim)
        if any(link.image is image for link in links):
            raise fail("image-invalid", f"{child.image.name} is a child of one of its own children, {image.name}")
        links.append(read(source, image))
        warnings += [*links[-1].facts.warnings, *_check_parent(child, links[-1])]
    node: ImageNode | None = None
    for link in reversed(links):
        node = link.node(node)
    assert node is not None  # there is at least one link
    top = links[0].facts
    return ImageFacts(top.format, top.variant, top.virtual_size, source.size, tuple(warnings)), node


def _open_parent(source: OpenSource, child: ImageFile, claim: ParentClaim) -> ImageFile:
    """The first of the names that there is; raises ``source-incomplete`` where there is none."""
    for name in claim.names:
        try:
            return source.open_sibling(name)
        except ProblemError as error:
            if error.problem.code != "source-missing":
                raise
    if not claim.names:
        raise fail("source-incomplete", f"{child.name} holds the differences from a disk that it does not name")
    name = claim.names[0]
    raise fail(
        "source-incomplete",
        f"{child.name} needs its parent {name}, which is not beside it",
        remedy=f"Copy {one_line(name)} into {source.files[0].path.parent}, then retry the job.",
    )


def _check_parent(child: _Link, parent: _Link) -> tuple[Problem, ...]:
    """Raises ``image-parent-mismatch``; a warning where it cannot be known whether the parent was changed since."""
    claim, name = child.parent, parent.image.name
    assert claim is not None
    if parent.identity not in claim.ids:
        message = f"{child.image.name} was made of a parent with another id than {name} has"
        raise fail("image-parent-mismatch", message)
    mine, its = child.facts.virtual_size, parent.facts.virtual_size
    if its > mine or (its < mine and child.facts.format == "vhd"):  # a child in VHDX may have been made larger
        raise fail("image-parent-mismatch", f"{child.image.name} has {mine} bytes, but its parent {name} {its}")
    changed = int(os.fstat(parent.image.fd).st_mtime)
    if child.parent_time in {0, changed}:
        return ()
    message = f"{name} is the parent of {child.image.name}, but its time is not the one it had when that was made"
    remedy = "If it was only copied since, all is well. If a machine has run on it, copy the whole chain again."
    return (Problem("image-unclean", message, remedy=remedy),)


def _require(image: ImageFile, claimed: str) -> None:
    if image.size == 0:
        raise fail("image-empty", f"{image.name} is empty")
    require_format(image, claimed)


def _read_vhd(source: OpenSource, image: ImageFile) -> _Link:
    _require(image, "vhd")
    vhd = image_vhd.read(image)
    index = source.index(image)

    def bits(at: int) -> bytes:
        return image.read(at, vhd.bitmap, "bitmap of a block").translate(_REVERSED)

    def node(parent: ImageNode | None) -> ImageNode:
        if vhd.parent is None:
            return ImageNode("vpc", FileNode(index), options=VHD_OPTIONS)
        blocks = [MappedBlock(number, at + vhd.bitmap, partial(bits, at)) for number, at in vhd.stored()]
        return mapped(MappedDisk(image, index, vhd.facts.virtual_size, vhd.block), blocks, parent)

    return _Link(image, vhd.facts, vhd.unique_id, vhd.parent, node, vhd.parent_time)


def _read_vhdx(source: OpenSource, image: ImageFile) -> _Link:
    _require(image, "vhdx")
    vhdx = image_vhdx.read(image)
    index = source.index(image)

    def bits(at: int) -> bytes:
        return image.read(at, vhdx.bitmap, "bitmap of a block")

    def node(parent: ImageNode | None) -> ImageNode:
        if vhdx.parent is None and vhdx.sector == SECTOR:
            return ImageNode("vhdx", FileNode(index))
        blocks = [
            MappedBlock(each.number, each.data, None if each.bitmap is None else partial(bits, each.bitmap))
            for each in vhdx.blocks()
        ]
        return mapped(MappedDisk(image, index, vhdx.facts.virtual_size, vhdx.block, vhdx.sector), blocks, parent)

    return _Link(image, vhdx.facts, vhdx.data_id, vhdx.parent, node)


_READERS: Final[Mapping[str, Callable[[OpenSource, ImageFile], _Link]]] = {"vhd": _read_vhd, "vhdx": _read_vhdx}
