"""Snapshots, checkpoints and overlays of a disk that lie beside it: who names the disk gets none of what is in them."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.host import image_vhd, image_vhdx, image_vmdk
from hypersdkd.host.image_file import ImageFile, opened
from hypersdkd.host.image_header import detect
from hypersdkd.host.image_qcow2 import backing_file
from hypersdkd.host.vmdk_disk import read_descriptor
from hypersdkd.model.problem import Problem, ProblemError

#: What the names of snapshots have behind the disk's: VMware's numbers, Hyper-V's GUIDs.
_OF_A_SNAPSHOT: Final = re.compile(r"(-\d{6}|_[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12})$", re.IGNORECASE)

#: Files that are looked at, as many as a chain may have twice; and names of a directory that are read for them.
_LOOKED_AT: Final = 128
_NAMES: Final = 100_000


def newer_states(disk: Path) -> list[str]:
    """The names of files beside ``disk`` that were made of it, or of such a one, and of which none was made.

    Only files that are called like it are looked at, and nothing is raised: what cannot be read tells nothing. Where
    the directory may not be listed, as by a confined worker, these are VMware's snapshots alone.
    """
    start = _OF_A_SNAPSHOT.sub("", disk.stem)
    try:
        with os.scandir(disk.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, _NAMES) if entry.name.startswith(start)]
    except OSError:
        names = [f"{start}-{number:06}.vmdk" for number in range(1, _LOOKED_AT + 1)]
    children: dict[str, list[str]] = {}
    for name in sorted(names)[:_LOOKED_AT]:
        for parent in _parents(disk.parent / name):
            children.setdefault(parent, []).append(name)
    return sorted(set(_leaves(disk.name, children)) - {disk.name})


def warning_of(disk: Path) -> Problem | None:
    """The warning ``image-snapshots`` for a disk of which newer states lie beside it."""
    newer = newer_states(disk)
    if not newer:
        return None
    shown = ", ".join(newer[:3]) + (f" and {len(newer) - 3} more" if len(newer) > 3 else "")
    return Problem(
        "image-snapshots",
        f"{shown} beside it was made of {disk.name}: what the guest wrote since is not in {disk.name}",
        remedy=f"If the latest state is wanted, name {newer[-1]} as the source.",
    )


def _leaves(disk: str, children: Mapping[str, list[str]]) -> Iterator[str]:
    seen, ahead = {disk}, [disk]
    for name in ahead:
        more = [child for child in children.get(name, []) if child not in seen]
        seen.update(more)
        ahead += more
        if not more:
            yield name


def _parents(path: Path) -> tuple[str, ...]:
    """The file names by which an image knows its parent."""
    try:
        with opened(path) as image:
            return _parents_of(image)
    except (OSError, ProblemError):
        return ()


def _parents_of(image: ImageFile) -> tuple[str, ...]:
    found = detect(image)
    if found.format == "vmdk" and found.variant in {"sparse", "descriptor"}:
        if found.variant == "sparse" and image_vmdk.is_part(image):
            return ()
        descriptor = read_descriptor(image)
        return (descriptor.parent_name,) if descriptor.is_snapshot else ()
    if found.format == "qcow2":
        return (PurePosixPath(backing_file(image)).name,)
    if found.format in {"vhd", "vhdx"}:
        claim = image_vhd.parent_of(image) if found.format == "vhd" else image_vhdx.parent_of(image)
        return claim.names if claim is not None else ()
    return ()
