"""qcow2 disks with backing files, which may lie anywhere below the directories of sources.

qemu would open whatever an image names, by whatever format it looks like. Here each link is opened by us, judged by the
format that the image above says, and given to qemu with that format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hypersdkd.host import image_qcow2, second_opinion
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_header import detect, require_format
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.disk import FileNode, ImageNode
from hypersdkd.model.problem import Problem, ProblemError, fail

#: Links of one chain.
MAX_LINKS: Final = 64

#: Source types by qemu's names of the drivers that a backing file may have.
_FORMATS: Final = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vpc": "vhd", "vhdx": "vhdx"}

#: Judges a disk that needs no other, of a source type; and how qemu is to open file number so and so.
Last = Callable[[ImageFile, str, int], tuple[ImageFacts, ImageNode]]


@dataclass(frozen=True, slots=True)
class _Link:
    image: ImageFile
    found: image_qcow2.Qcow2


def read_disk(source: OpenSource, last: Last) -> tuple[ImageFacts, ImageNode]:
    """Judge the disk that the first file of ``source`` is the top of; opens all the others.

    ``last`` reads the end of the chain where that is no qcow2. Raises the problem that keeps the disk from being read
    safely and whole.
    """
    links = [_read(source.images[0])]
    warnings: list[Problem] = []
    node: ImageNode | None = None
    while links[-1].found.backing:
        if len(links) >= MAX_LINKS:
            raise fail("image-limits", f"{source.images[0].name} has over {MAX_LINKS} backing files")
        image = _open_backing(source, links[-1])
        if any(link.image is image for link in links):
            raise fail("image-invalid", f"{links[-1].image.name} is its own backing file")
        kind = _format(links[-1], image)
        if kind != "qcow2":
            facts, node = last(image, kind, source.index(image))
            warnings += facts.warnings
            break
        links.append(_read(image))
        if links[-1].found.backing and not links[-2].found.backing_format:
            raise _unsaid(links[-2], image)
    for link in reversed(links):
        node = ImageNode("qcow2", FileNode(source.index(link.image)), node)
        warnings += link.found.facts.warnings
    assert node is not None  # there is at least one link
    top = links[0].found.facts
    names = tuple(link.found.backing for link in links if link.found.backing)
    return ImageFacts("qcow2", top.variant, top.virtual_size, source.size, tuple(warnings), names), node


def _read(image: ImageFile) -> _Link:
    if image.size == 0:
        raise fail("image-empty", f"{image.name} is empty")
    require_format(image, "qcow2")
    found = image_qcow2.read(image)
    if not found.backing:  # the second judge refuses all that have one
        second_opinion.confirm(image, "qcow2")
    return _Link(image, found)


def _open_backing(source: OpenSource, link: _Link) -> ImageFile:
    """Raises ``source-incomplete`` where it is missing, ``image-backing`` where it is no plain path."""
    name, file = link.found.backing, source.files[source.index(link.image)]
    if not name.isprintable() or name.endswith("/"):
        raise fail("image-backing", f"{link.image.name} names a backing file by {name!r}, which is no plain path")
    if ":" in name.partition("/")[0]:  # qemu takes what comes before for a protocol, or for json:
        raise fail("image-backing", f"{link.image.name} has a backing file that is no file: {name}")
    path = f"{file.path.parent}/{name}" if not name.startswith("/") else name
    try:
        return source.open_backing(path)
    except ProblemError as error:
        if error.problem.code != "source-missing":
            raise
        raise fail(
            "source-incomplete",
            f"{link.image.name} needs its backing file {name}, which does not exist here",
            remedy=f"Copy it to {path}, or beside the image and say so there: `qemu-img rebase -u -F FORMAT -b NAME`.",
        ) from error


def _format(link: _Link, image: ImageFile) -> str:
    """The source type of a backing file: the one that is said, else the one that it looks like."""
    said = link.found.backing_format
    if said and said not in _FORMATS:
        raise fail("image-unsupported", f"{link.image.name} has a backing file of the format {said[:80]}")
    if said:
        return _FORMATS[said]
    found = detect(image).format
    if found not in _FORMATS.values():
        raise _unsaid(link, image)
    return found


def _unsaid(link: _Link, image: ImageFile) -> ProblemError:
    """A guest may write into its raw disk what makes that look like an image of any format, with any backing file."""
    return fail(
        "image-backing",
        f"{link.image.name} does not say of which format its backing file {image.name} is",
        remedy=f"If you know it, say so there: `qemu-img rebase -u -F FORMAT -b {image.name} {link.image.name}`.",
    )
