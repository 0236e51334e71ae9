"""Disks of a guest on their way through the stages."""

from __future__ import annotations

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
class SourceDisk:
    """A disk that a loader has opened, judged safe, and made readable for ``qemu-img``.

    ``reference`` is the one safe way to name it to qemu: a ``json:`` pseudo-file name with every driver
    explicit and every reference to another file neutralised; never pass ``path`` to qemu instead.
    ``format`` is qemu's driver name, ``variant`` the format's own (``streamOptimized``); sizes in bytes.
    ``fingerprint`` is what tells the judged file from any other state of it or another file in its place:
    device, inode, size, and the nanoseconds of its last change of content and of status. ``held``, if there is
    one, begins before the judgement and is released when the disk is converted.
    """

    path: Path
    reference: str
    format: str
    virtual_size: int
    file_size: int
    variant: str = ""
    fingerprint: tuple[int, ...] = ()
    held: Hold | None = field(default=None, compare=False, repr=False)


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
