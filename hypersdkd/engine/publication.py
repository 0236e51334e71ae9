"""The last act of a guest: its checked outputs get their final names, all of them or none.

The journal first records which files (device and inode) are about to be renamed. A worker that is started
again after a crash in between finds them under one name or the other and only finishes the renames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypersdkd.host.files import rename_new
from hypersdkd.model.disk import OutputDisk
from hypersdkd.model.problem import fail


@dataclass(frozen=True, slots=True)
class Placement:
    """One output: the file (device, inode), its temporary and its final name."""

    temporary: Path
    final: Path
    device: int
    inode: int

    @classmethod
    def of(cls, output: OutputDisk) -> Placement:
        """The placement of an output that lies under its temporary name."""
        found = output.temporary.stat()
        return cls(output.temporary, output.path, found.st_dev, found.st_ino)

    def as_dict(self) -> dict[str, object]:
        """The JSON shape in the journal."""
        return {
            "temporary": str(self.temporary),
            "final": str(self.final),
            "device": self.device,
            "inode": self.inode,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Placement:
        """Read :meth:`as_dict` back."""
        return cls(
            Path(str(data["temporary"])), Path(str(data["final"])), int(str(data["device"])), int(str(data["inode"]))
        )

    def is_at(self, path: Path) -> bool:
        """Whether ``path`` is that very file."""
        try:
            found = path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)


def recorded(publishing: Mapping[str, object] | None) -> Sequence[Placement]:
    """The placements of a ``publishing`` event, when every file of them is still there; else none."""
    outputs = publishing.get("outputs") if publishing else None
    if not isinstance(outputs, list):
        return ()
    placements = [Placement.from_dict(output) for output in outputs]
    if all(place.is_at(place.final) or place.is_at(place.temporary) for place in placements):
        return placements
    return ()


def publish(placements: Sequence[Placement]) -> None:
    """Give each output its final name. ``output-exists`` when one is taken; after any error none of ours stays."""
    try:
        for place in placements:
            if not place.is_at(place.final):
                _give_name(place)
    except Exception:
        withdraw(placements)
        raise


def withdraw(placements: Sequence[Placement]) -> None:
    """Remove those of our outputs that have their final name already."""
    for place in placements:
        if place.is_at(place.final):
            place.final.unlink()


def _give_name(place: Placement) -> None:
    try:
        rename_new(place.temporary, place.final)
    except FileExistsError as error:
        raise fail("output-exists", f"{place.final} exists") from error
