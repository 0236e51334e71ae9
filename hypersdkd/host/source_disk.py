"""A disk of a source, of whatever format: judged by the reader of its format, and by the second judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from hypersdkd.host import hyperv_disk, qcow2_disk, second_opinion, vmdk_disk
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_header import judge
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.disk import FileNode, ImageNode
from hypersdkd.model.problem import ProblemError

#: qemu's drivers that are not called as the format is.
_DRIVERS: Final[Mapping[str, str]] = {"vhd": "vpc"}

#: What a driver is told.
_OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {"vhd": hyperv_disk.VHD_OPTIONS}

#: Formats of which the second judge knows more than the magic.
_JUDGED_TWICE: Final = frozenset({"vmdk", "qcow2", "vdi"})


def read_disk(source: OpenSource, claimed: str, *, trusted: bool = False) -> tuple[ImageFacts, ImageNode]:
    """Judge the disk that the first file of ``source`` is, or is the top of; opens the others that it consists of.

    ``claimed`` is a source type. Raises the problem that keeps it from being read safely and whole.
    """
    if claimed == "vmdk":
        return vmdk_disk.read_disk(source)
    if claimed in {"vhd", "vhdx"}:
        return hyperv_disk.read_disk(source, claimed)
    if claimed == "qcow2":
        return qcow2_disk.read_disk(source, lambda image, kind, index: _last(image, kind, index, trusted=trusted))
    facts = judge_alone(source.images[0], claimed, trusted=trusted)
    return facts, alone(facts, FileNode(0))


def _last(image: ImageFile, kind: str, index: int, *, trusted: bool) -> tuple[ImageFacts, ImageNode]:
    facts = judge_alone(image, kind, trusted=trusted)
    return facts, alone(facts, FileNode(index))


def judge_alone(image: ImageFile, claimed: str, *, trusted: bool = False) -> ImageFacts:
    """Of a disk that is one file, or a part of a file, and needs no other: see :func:`read_disk`."""
    facts = judge(image, claimed, trusted=trusted)
    if facts.format in _JUDGED_TWICE:
        second_opinion.confirm(image, facts.format)
    return facts


@contextmanager
def claimed_elsewhere(remedy: str) -> Iterator[None]:
    """Around the judging of a disk whose type something other than the manifest's ``source_type`` claims: where the
    remedy was to change that key, it is ``remedy``."""
    try:
        yield
    except ProblemError as error:
        if "source_type" not in error.problem.remedy:
            raise
        raise ProblemError(replace(error.problem, remedy=remedy)) from error


def alone(facts: ImageFacts, file: FileNode) -> ImageNode:
    """How qemu is to open a disk that :func:`judge_alone` has judged."""
    return ImageNode(_DRIVERS.get(facts.format, facts.format), file, options=_OPTIONS.get(facts.format, {}))
