"""A disk of a source, of whatever format: judged by the reader of its format, and by the second judge."""

from __future__ import annotations

from hypersdkd.host import second_opinion, vmdk_disk
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_header import judge
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.disk import FileNode, ImageNode


def read_disk(source: OpenSource, claimed: str, *, trusted: bool = False) -> tuple[ImageFacts, ImageNode]:
    """Judge the disk that the first file of ``source`` is, or is the top of; opens the others that it consists of.

    ``claimed`` is a source type. Raises the problem that keeps it from being read safely and whole.
    """
    if claimed == "vmdk":
        return vmdk_disk.read_disk(source)
    facts = judge_alone(source.images[0], claimed, trusted=trusted)
    return facts, ImageNode(facts.format, FileNode(0))


def judge_alone(image: ImageFile, claimed: str, *, trusted: bool = False) -> ImageFacts:
    """Of a disk that is one file, or a part of a file, and needs no other: see :func:`read_disk`."""
    facts = judge(image, claimed, trusted=trusted)
    if facts.format != "raw":
        second_opinion.confirm(image, facts.format)
    return facts
