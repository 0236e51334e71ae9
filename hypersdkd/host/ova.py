"""OVA: the members of an archive that make an appliance: its descriptor, its ``.mf``, and the files that these name.

Packed by hand, an archive may have them in a directory, several descriptors, and what macOS adds to each file
(``._web01.ovf``, which is none of them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from hypersdkd.host import tar_index
from hypersdkd.host.appliance_names import file_meant
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.tar_index import Member
from hypersdkd.model.problem import fail, one_line


@dataclass(frozen=True, slots=True)
class Package:
    """An archive, its ``members`` by their names, and the one that describes the guest."""

    archive: ImageFile
    members: Mapping[str, Member]
    descriptor: Member

    @property
    def directory(self) -> str:
        """Where the descriptor lies, and what it names; empty at the top of the archive."""
        return self.descriptor.name.rpartition("/")[0]

    def checksums(self) -> Member | None:
        """The ``.mf``: the one beside the descriptor that is called like it, else the only one there is.

        Raises ``image-invalid`` where none of several, or several, could be it.
        """
        beside = [each for each in self.members.values() if each.name.rpartition("/")[0] == self.directory]
        found = [each for each in beside if _is_named(each, ".mf")]
        return _chosen(self.archive, found, ".mf", PurePosixPath(self.descriptor.name).stem) if found else None

    def member(self, reference: str) -> Member:
        """The regular file that a reference of the descriptor means. Raises ``source-incomplete`` for one that is not
        in the archive, which all are that lead out of it; ``source-not-regular``."""
        name = file_meant(reference, self.members, self.directory)
        if name is None:
            raise fail("source-incomplete", f"{self.archive.name} has no member {one_line(reference)[:200]}")
        member = self.members[name]
        if not member.regular:
            raise fail("source-not-regular", f"{one_line(name)} in {self.archive.name} is a link or a device")
        return member

    def beside(self) -> Mapping[str, Member]:
        """The regular files in the descriptor's directory and below, by their names there."""
        before = f"{self.directory}/" if self.directory else ""
        return {
            name.removeprefix(before): each
            for name, each in self.members.items()
            if each.regular and name.startswith(before)
        }

    def name_beside(self, member: Member) -> str:
        """How such a member is called there."""
        return member.name.removeprefix(f"{self.directory}/")

    def part(self, member: Member) -> ImageFile:
        """A member as a file: what the archive holds of it."""
        return self.archive.part(member.offset, member.size, member.file_name)

    def content(self, member: Member, limit: int) -> bytes:
        """All of a small member. Raises ``source-not-regular``, and ``image-limits`` for over ``limit`` bytes."""
        if not member.regular or member.sparse:
            raise fail("source-not-regular", f"{one_line(member.name)} in {self.archive.name} is not a plain file")
        if member.size > limit:
            message = f"{one_line(member.name)} in {self.archive.name} has {member.size} bytes; {limit} are allowed"
            raise fail("image-limits", message)
        return self.archive.read(member.offset, member.size, member.file_name)


def read_package(archive: ImageFile) -> Package:
    """Find the descriptor: the only one, or of several the one that is called like the archive.

    Raises ``image-invalid`` where there is none, or none or several of them could be it, and what
    :func:`hypersdkd.host.tar_index.read_index` does.
    """
    members = tar_index.read_index(archive)
    found = [each for each in members.values() if is_descriptor(each)]
    if not found:
        raise fail("image-invalid", f"{archive.name} is not an OVA: it has no descriptor (.ovf)")
    return Package(archive, members, _chosen(archive, found, ".ovf", PurePosixPath(archive.name).stem))


def is_descriptor(member: Member) -> bool:
    """Whether it is what makes an archive an appliance, by its name."""
    return _is_named(member, ".ovf")


def _is_named(member: Member, suffix: str) -> bool:
    return member.name.lower().endswith(suffix) and not member.file_name.startswith("._")


def _chosen(archive: ImageFile, found: list[Member], suffix: str, stem: str) -> Member:
    if len(found) > 1:
        alike = [each for each in found if PurePosixPath(each.name).stem.lower() == stem.lower()]
        if len(alike) != 1:
            names = ", ".join(one_line(each.name)[:80] for each in found[:5])
            raise fail(
                "image-invalid",
                f"{archive.name} holds {len(found)} files of {suffix} ({names}), and {len(alike)} called like {stem}",
                remedy=f"Unpack it, and name the .ovf that is meant in a manifest; or pack it again with one {suffix}.",
            )
        return alike[0]
    return found[0]
