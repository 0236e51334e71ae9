"""Overlays: what is changed in a guest goes into a qcow2 image over its source, which is only read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hypersdkd.host import qemu_img
from hypersdkd.host.files import open_regular
from hypersdkd.host.image_file import SECTOR
from hypersdkd.host.image_source import fingerprint
from hypersdkd.host.source_graph import over_paths
from hypersdkd.model.disk import FileNode, ImageNode, SourceDisk, SourceFile


def make_overlay(disk: SourceDisk, directory: Path, number: int) -> Path:
    """An overlay over disk ``number`` in ``directory``, which is ours. Raises ``image-limits`` and ``tool-failed``."""
    overlay = directory / f"overlay{number}.qcow2"
    below = over_paths(disk, directory, f"below{number}")
    size = -(-disk.virtual_size // SECTOR) * SECTOR
    qemu_img.make_overlay(overlay, below, disk.format, size)
    return overlay


def overlaid(disk: SourceDisk, overlay: Path) -> SourceDisk:
    """The disk with its overlay on it, to which nothing is written any more.

    qemu opens the source below it as it was judged; what the overlay says of it is not asked.
    """
    fd = open_regular(overlay)
    try:
        file = SourceFile(overlay, fingerprint(fd))
    finally:
        os.close(fd)
    graph = ImageNode("qcow2", FileNode(len(disk.files)), disk.graph)
    return replace(disk, files=(*disk.files, file), graph=graph)
