"""The last act of a guest: its checked outputs get their final names, all of them or none.

The journal first records which files (device and inode) are about to be renamed. A worker that is started
again after a crash in between finds them under one name or the other and only finishes the renames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypersdkd.host.files import rename_new
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.model.disk import OutputDisk
from hypersdkd.model.guest import Guest
from hypersdkd.model.problem import ProblemError, fail


@dataclass(frozen=True, slots=True)
class Placement:
    """One output: the file (device, inode), its temporary and its final name, both in one directory below ``root``."""

    temporary: Path
    final: Path
    device: int
    inode: int
    root: Path

    @classmethod
    def of(cls, output: OutputDisk, root: Path) -> Placement:
        """The placement of an output that lies under its temporary name. ``output-invalid`` when it does not."""
        with OutputDirectory.open(output.path.parent, root) as directory:
            found = directory.identity(output.temporary.name)
        if found is None or output.identity not in {(), found}:
            raise fail("output-invalid", f"{output.temporary} is not the file that was written")
        return cls(output.temporary, output.path, *found, root)

    def as_dict(self) -> dict[str, object]:
        """The JSON shape in the journal."""
        return {
            "temporary": str(self.temporary),
            "final": str(self.final),
            "device": self.device,
            "inode": self.inode,
            "root": str(self.root),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Placement:
        """Read :meth:`as_dict` back."""
        temporary, final, root = (Path(str(data[key])) for key in ("temporary", "final", "root"))
        return cls(temporary, final, int(str(data["device"])), int(str(data["inode"])), root)

    def directory(self) -> OutputDirectory:
        """Where it lies. Raises as :meth:`OutputDirectory.open` does."""
        return OutputDirectory.open(self.final.parent, self.root)

    def is_at(self, path: Path) -> bool:
        """Whether ``path``, the temporary or the final name, is that very file."""
        try:
            with self.directory() as directory:
                return self.is_in(directory, path)
        except ProblemError:
            return False

    def is_there(self) -> bool:
        """Whether the file has the final or still the temporary name."""
        return self.is_at(self.final) or self.is_at(self.temporary)

    def is_in(self, directory: OutputDirectory, path: Path) -> bool:
        """The same where the directory is open."""
        return directory.identity(path.name) == (self.device, self.inode)


def published(publishing: Mapping[str, object] | None) -> Sequence[Path]:
    """The final names that a ``publishing`` event tells of."""
    return [place.final for place in _placements(publishing)]


def recorded(publishing: Mapping[str, object] | None, guest: Guest) -> Sequence[Placement]:
    """The placements of a ``publishing`` event, when every file of them is still there; else none.

    Nor if one is not where the guest's outputs are: a worker that was taken over may write into its journal what it
    likes, and is not to have files renamed or removed elsewhere.
    """
    placements = _placements(publishing)
    where = {(Path(guest.output_root), Path(output).parent) for output in guest.outputs}
    if all((place.root, place.final.parent) in where and place.is_there() for place in placements):
        return placements
    return ()


def _placements(publishing: Mapping[str, object] | None) -> Sequence[Placement]:
    outputs = publishing.get("outputs") if publishing else None
    try:
        return [Placement.from_dict(output) for output in outputs] if isinstance(outputs, list) else ()
    except (KeyError, TypeError, ValueError):  # no line of ours
        return ()


def publish(placements: Sequence[Placement]) -> None:
    """Give each output its final name. ``output-exists`` when one is taken; after any error none of ours stays."""
    try:
        for place in placements:
            with place.directory() as directory:
                _give_name(place, directory)
    except Exception:
        withdraw(placements)
        raise


def withdraw(placements: Sequence[Placement]) -> Sequence[Path]:
    """Remove those of our outputs that have their final name already. Returns what cannot be removed."""
    return [place.final for place in placements if not _withdrawn(place)]


def _withdrawn(place: Placement) -> bool:
    try:
        with place.directory() as directory:
            return not place.is_in(directory, place.final) or directory.remove(place.final.name)
    except ProblemError:
        return True  # whatever is there now is not ours


def _give_name(place: Placement, directory: OutputDirectory) -> None:
    if place.is_in(directory, place.final):
        # Where names are given by a link, a kill after it leaves the temporary name too.
        if place.is_in(directory, place.temporary):
            directory.remove(place.temporary.name)
        return
    if not place.is_in(directory, place.temporary):
        raise fail("output-invalid", f"{place.temporary} is not the file that was checked")
    try:
        rename_new(directory.at(place.temporary.name), directory.at(place.final.name))
    except FileExistsError as error:
        raise fail("output-exists", f"{place.final} exists") from error
