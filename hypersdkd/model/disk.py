"""Disks of a guest on their way through the stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Hold(Protocol):
    """What keeps a source as it was judged, or at least notices when it is written to."""

    def broken(self) -> bool:
        """Whether somebody wants to write, or might have written, since the source was opened."""

    def release(self) -> None:
        """Let others write. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source, as it was judged.

    ``fingerprint`` is what tells the judged file from any other state of it or another file in its place: device,
    inode, size, and the nanoseconds of its last change of content and of status. ``held``, if there is one, begins
    before the judgement and is released when the disk is converted.
    """

    path: Path
    fingerprint: tuple[int, ...] = ()
    held: Hold | None = field(default=None, compare=False, repr=False)

    def broken(self) -> bool:
        """Whether somebody might have written to it; false where that is not known."""
        return self.held is not None and self.held.broken()


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file of the disk, by its index in ``SourceDisk.files``: whole, or ``size`` bytes of it from ``offset``."""

    index: int
    offset: int = 0
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Zeros:
    """A file of that many bytes, all zero, which takes no space. It is ours."""

    size: int


@dataclass(frozen=True, slots=True)
class Content:
    """A file of ours that holds these bytes, such as tables for qemu to read."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TextNode:
    """A small file of ours that names others: pieces of text, and between them files of the disk by their index.

    It stands in for a text of the source's own that names files, such as a VMDK's descriptor: qemu never reads that.
    """

    parts: tuple[str | int | Zeros | Content, ...]


@dataclass(frozen=True, slots=True)
class ImageNode:
    """An image as qemu is to open it: by that driver, from there, over that backing image or none.

    ``file`` may be an image itself, in whose content this one lies. ``options`` are the driver's own. Nothing is left
    for qemu to find out.
    """

    driver: str
    file: FileNode | TextNode | ImageNode
    backing: ImageNode | None = None
    options: Mapping[str, str | int | bool] = field(default_factory=dict)

    def chain(self) -> Iterator[ImageNode]:
        """The image, its backing image, and so on."""
        node: ImageNode | None = self
        while node is not None:
            yield node
            node = node.backing


@dataclass(frozen=True, slots=True)
class SourceDisk:
    """A disk that a loader has opened, judged safe, and made readable for ``qemu-img``.

    ``files`` are all that it consists of, the one that the manifest names first. ``graph`` says how qemu is to open
    them; ``host.source_graph`` makes names for qemu of it, and nothing else does: never pass a path to qemu instead.
    ``variant`` is the format's own word (``streamOptimized``); sizes in bytes, ``file_size`` of all files together.
    """

    files: tuple[SourceFile, ...]
    graph: ImageNode
    virtual_size: int
    file_size: int
    variant: str = ""

    @classmethod
    def of_file(
        cls, file: SourceFile, format_name: str, virtual_size: int, file_size: int, variant: str = ""
    ) -> SourceDisk:
        """A disk that is one self-contained file; ``format_name`` is qemu's driver name."""
        return cls((file,), ImageNode(format_name, FileNode(0)), virtual_size, file_size, variant)

    @property
    def path(self) -> Path:
        """The file that the manifest names."""
        return self.files[0].path

    @property
    def format(self) -> str:
        """qemu's driver name of the top image."""
        return self.graph.driver

    def release(self, still_needed: Sequence[SourceDisk] = ()) -> None:
        """Let others write to its files, but for those that it shares with other disks. Safe to call twice."""
        shared = {id(file.held) for disk in still_needed for file in disk.files}
        for file in self.files:
            if file.held is not None and id(file.held) not in shared:
                file.held.release()


@dataclass(frozen=True, slots=True)
class OutputDisk:
    """A converted disk, not yet under its final name: ``temporary`` now, ``path`` once published.

    ``identity`` is its device and inode; with it no other file is taken for this one.
    """

    temporary: Path
    path: Path
    format: str
    virtual_size: int
    identity: tuple[int, ...] = ()
