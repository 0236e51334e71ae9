"""VMDK disks of any number of files: a descriptor with its extents, snapshots with their parents.

Each link of a chain is judged: its descriptor, that all files lie beside the first, that they are as long as they have
to be, and that the parent is the one that the snapshot was made of. qemu then gets a descriptor of our own over the
judged files; of the source's own it reads none that could name a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from hypersdkd.host import image_vmdk, second_opinion
from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_virtual_size
from hypersdkd.host.image_header import require_format
from hypersdkd.host.image_vmdk_esx import COWD_MAGIC, SESPARSE_MAGIC, judge_cowd, judge_sesparse
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.vmdk_descriptor import (
    ALONE,
    DESCRIPTOR_LIMIT,
    Descriptor,
    Extent,
    parse_descriptor,
    require_same_size,
)
from hypersdkd.model.disk import FileNode, ImageNode, TextNode, Zeros
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line

#: Files of one disk, and lines of a descriptor that name them. 8 TiB, the largest of VMware's hosted products, are
#: 4097 files of 2 GB.
MAX_FILES: Final = 4200

#: Links of one chain; vSphere allows 32 snapshots, and App Volumes a few more.
MAX_LINKS: Final = 64

#: Hexadecimal digits of a content id at most.
_ID_DIGITS: Final = 8

_TYPE: Final = "twoGbMaxExtentSparse"  # of our own descriptors: qemu reads every kind of extent in it

_Parts = tuple[str | int | Zeros, ...]


@dataclass(frozen=True, slots=True)
class _Link:
    """One image of a chain: what it says of itself, and how qemu is to open it, but for its parent."""

    image: ImageFile
    descriptor: Descriptor
    sectors: int
    file: FileNode | TextNode
    warnings: tuple[Problem, ...] = ()


def read_descriptor(image: ImageFile) -> Descriptor:
    """The descriptor of a VMDK: the file's own text, or the one in a sparse file. Cheap: reads up to 1 MiB.

    Raises ``source-type-mismatch`` for what is no VMDK, ``image-unsupported`` for an extent without a descriptor.
    """
    found = require_format(image, "vmdk")
    if found.variant == "sparse":
        return parse_descriptor(image.name, image_vmdk.embedded_descriptor(image))
    if found.variant != "descriptor":
        raise fail(
            "image-unsupported",
            f"{image.name} is an extent ({found.variant}) without a descriptor",
            remedy="Name the small text file that describes the disk; it is called like this one, without -delta.",
        )
    if image.size > DESCRIPTOR_LIMIT:
        raise fail("image-limits", f"{image.name} is a descriptor of {image.size} bytes; 1 MiB is allowed")
    text, _, rest = image.start(DESCRIPTOR_LIMIT).rstrip(b"\0").partition(b"\0")
    # qemu writes a new content id over the old text: where it has fewer digits, the end of that is left behind a NUL
    if len(rest) >= _ID_DIGITS or not text.endswith(rest):
        raise fail("image-invalid", f"the descriptor {image.name} is no plain text")
    return parse_descriptor(image.name, text)


def read_disk(source: OpenSource) -> tuple[ImageFacts, ImageNode]:
    """Judge the disk that the first file of ``source`` is the top of; opens all the others.

    Raises the problem that keeps it from being read safely and whole.
    """
    links = [_read_link(source, source.images[0])]
    while links[-1].descriptor.is_snapshot:
        if len(links) >= MAX_LINKS:
            raise fail("image-limits", f"{source.images[0].name} has over {MAX_LINKS} parents")
        links.append(_read_parent(source, links))
    node: ImageNode | None = None
    for link in reversed(links):
        node = ImageNode("vmdk", link.file, node)
    assert node is not None  # there is at least one link
    warnings = tuple(warning for link in links for warning in link.warnings)
    return ImageFacts("vmdk", links[0].descriptor.variant, links[0].sectors * SECTOR, source.size, warnings), node


def _read_link(source: OpenSource, image: ImageFile) -> _Link:
    if image.size == 0:
        raise fail("image-empty", f"{image.name} is empty")
    descriptor = read_descriptor(image)
    if image.start(len(image_vmdk.MAGIC)) == image_vmdk.MAGIC:
        return _read_sparse(source, image, descriptor)
    if not descriptor.extents:
        raise fail("image-invalid", f"the descriptor {image.name} names no extents")
    if len(descriptor.extents) > MAX_FILES:
        raise fail("image-limits", f"{image.name} names {len(descriptor.extents)} extents; {MAX_FILES} are allowed")
    if descriptor.variant in ALONE.values():
        raise fail("image-invalid", f"{image.name} is only the descriptor of a {descriptor.variant} disk")
    check_virtual_size(image.name, descriptor.sectors * SECTOR)
    warnings: list[Problem] = []
    *before, last = descriptor.extents
    lines = [_place(source, image, extent, warnings, in_between=True)[0] for extent in before]
    line, sectors = _place(source, image, last, warnings, in_between=False)
    sectors += descriptor.sectors - last.sectors
    return _Link(image, descriptor, sectors, _own_text(descriptor, [*lines, line]), tuple(warnings))


def _read_sparse(source: OpenSource, image: ImageFile, descriptor: Descriptor) -> _Link:
    """An image that has its descriptor in itself: a self-contained one, or a snapshot of a hosted product."""
    index = source.index(image)
    if not descriptor.is_snapshot:
        facts = image_vmdk.judge(image)
        second_opinion.confirm(image, "vmdk")
        return _Link(image, descriptor, facts.virtual_size // SECTOR, FileNode(index), facts.warnings)
    if descriptor.variant not in ALONE.values() or [extent.kind for extent in descriptor.extents] != ["SPARSE"]:
        raise fail("image-invalid", f"{image.name} is one file, but its descriptor says otherwise")
    sectors, grain, warnings = image_vmdk.judge_extent(image)
    warnings += require_same_size(image.name, descriptor.extents[0].sectors, sectors, grain)
    text = _own_text(descriptor, [_line(Extent(sectors, "SPARSE"), index)])
    return _Link(image, descriptor, sectors, text, warnings)


def _read_parent(source: OpenSource, links: list[_Link]) -> _Link:
    """The parent of the last link; raises ``source-incomplete`` and ``image-parent-mismatch``."""
    child = links[-1]
    name = child.descriptor.parent_name
    if not name:
        raise fail("source-incomplete", f"{child.image.name} is a snapshot that does not name its parent")
    image = _sibling(source, child.image, name, "parent")
    if any(link.image is image for link in links):
        raise fail("image-invalid", f"{child.image.name} is a snapshot of one of its own snapshots, {image.name}")
    parent = _read_link(source, image)
    if parent.descriptor.content_id != child.descriptor.parent_id:
        raise fail(
            "image-parent-mismatch",
            f"{child.image.name} was made of a parent with the content id {child.descriptor.parent_id:08x}; "
            f"{image.name} has {parent.descriptor.content_id:08x}",
        )
    if parent.sectors != child.sectors:
        message = f"{child.image.name} has {child.sectors} sectors, but its parent {image.name} {parent.sectors}"
        raise fail("image-parent-mismatch", message)
    return parent


def _place(
    source: OpenSource, image: ImageFile, extent: Extent, warnings: list[Problem], *, in_between: bool
) -> tuple[_Parts, int]:
    """Open and judge a file of a disk; the line of our own descriptor that puts it in its place, and its sectors."""
    if extent.kind == "ZERO":
        return (f'RW {extent.sectors} FLAT "', Zeros(extent.sectors * SECTOR), '" 0\n'), extent.sectors
    if "://" in extent.name:  # vsan:// and vvol://
        raise fail(
            "image-unsupported",
            f"the content of {image.name} lies in an object store: {extent.name[:80]}",
            remedy="Export the disk as an OVF, or clone it to a datastore that has files (NFS, VMFS).",
        )
    found = _sibling(source, image, extent.name, "extent")
    if found is image:
        raise fail("image-invalid", f"the descriptor {image.name} names itself as an extent")
    if extent.flat_end is not None:
        _check_flat(found, extent, warnings)
    else:
        sectors = _check_sparse(image, found, extent, warnings, in_between=in_between)
        extent = replace(extent, sectors=sectors)
    return _line(extent, source.index(found)), extent.sectors


def _check_flat(image: ImageFile, extent: Extent, warnings: list[Problem]) -> None:
    end = extent.offset + extent.sectors
    image.must_hold(extent.offset * SECTOR, extent.sectors * SECTOR, "part of the disk")
    if extent.offset == 0 and image.size >= (end + 1) * SECTOR:
        message = f"{image.name} has {image.size} bytes, of which its descriptor uses the first {end * SECTOR}"
        warnings.append(Problem("image-unclean", message))


def _check_sparse(
    image: ImageFile, found: ImageFile, extent: Extent, warnings: list[Problem], *, in_between: bool
) -> int:
    """What kind of extent it is, its content decides: so it does for qemu. Its sectors."""
    start = found.start(len(SESPARSE_MAGIC))
    if start.startswith(COWD_MAGIC):
        sectors, grain = judge_cowd(found)
    elif start == SESPARSE_MAGIC:
        sectors, grain = judge_sesparse(found)
    else:
        sectors, grain, unclean = image_vmdk.judge_extent(found)
        warnings.extend(unclean)
    if in_between and sectors != extent.sectors:  # qemu goes by the header: what follows would be in another place
        raise fail("image-invalid", f"{found.name} has {sectors} sectors; {image.name} says {extent.sectors}")
    warnings.extend(require_same_size(found.name, extent.sectors, sectors, grain))
    if in_between and sectors % grain:  # qemu reads on in the last grain where the next extent begins
        message = f"{found.name} is not the last part of {image.name}, but ends within a grain of {grain} sectors"
        raise fail("image-unsupported", message)
    return sectors


def _sibling(source: OpenSource, image: ImageFile, name: str, what: str) -> ImageFile:
    """Open a file that ``image`` names; raises ``source-incomplete`` where it is missing."""
    try:
        found = source.open_sibling(name)
    except ProblemError as error:
        if error.problem.code != "source-missing":
            raise
        raise fail(
            "source-incomplete",
            f"{image.name} needs its {what} {name}, which is not beside it",
            remedy=f"Copy {one_line(name)} into {source.files[0].path.parent}, then retry the job.",
        ) from error
    if len(source.files) > MAX_FILES:
        raise fail("image-limits", f"{source.images[0].name} consists of over {MAX_FILES} files")
    return found


def _line(extent: Extent, index: int) -> _Parts:
    """qemu takes an offset for FLAT extents only, and needs one there."""
    if extent.flat_end is not None:
        return f'RW {extent.sectors} FLAT "', index, f'" {extent.offset}\n'
    return f'RW {extent.sectors} {extent.kind} "', index, '"\n'


def _own_text(descriptor: Descriptor, lines: Sequence[_Parts]) -> TextNode:
    """A descriptor that says what the source's own does; it names no parent, which is given to qemu apart."""
    head = (
        "# Disk DescriptorFile\nversion=1\n"
        f"CID={descriptor.content_id:08x}\nparentCID={descriptor.parent_id:08x}\n"
        f'createType="{_TYPE}"\n'
    )
    return TextNode((head, *(part for line in lines for part in line)))
