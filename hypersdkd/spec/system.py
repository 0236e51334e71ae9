"""The port to a guest's own files, and how fixers and checks of a guest are declared.

INSPECT, FIX and the checks that look into the guest share one appliance, launched when it is first asked for. Paths
are the guest's, absolute; a link in the guest leads nowhere but into the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypersdkd.model.file_change import FileChange
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import READ_LIMIT, GuestFacts
from hypersdkd.model.problem import Problem


class GuestSystem(Protocol):
    """A guest's system, its file systems mounted as it mounts them itself. What is written goes to an overlay.

    Links are followed where they keep a file's name or lead below ``/boot``, ``/usr`` or ``/etc/default``; one that
    leads elsewhere is ``guest-file-unusual``, so that no secret of the guest gets into a report by a name that it has
    not. Anything that the guest makes impossible (an I/O error, a loop of links, no space) is a ``ProblemError``.
    """

    @property
    def facts(self) -> GuestFacts:
        """What was found out about it."""

    @property
    def changes(self) -> Sequence[FileChange]:
        """What was changed so far, by all fixers."""

    def kind(self, path: str) -> str:
        """``file``, ``directory``, ``link`` or ``other``; empty where there is nothing. A link is not followed."""

    def target(self, path: str) -> str | None:
        """What a symbolic link says; ``None`` where there is none."""

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes | None:
        """A regular file's content; ``None`` where there is none, or a link that leads to nothing.

        ``guest-file-unusual`` for anything else, and for one of more than ``limit`` bytes.
        """

    def names(self, directory: str) -> Sequence[str]:
        """The names in a directory, sorted; empty where there is none. At most 10,000 are taken."""

    def free(self, path: str) -> int:
        """Bytes that are free in the file system of ``path``, a directory."""

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Put a file in place, whole, and the directories that it needs; an existing one keeps owner, mode and labels.

        Nothing is done, and nothing recorded, where it has that content already.
        """

    def append(self, path: str, content: bytes) -> None:
        """Add to a file's end, which must be there; recorded by its size."""

    def remove(self, path: str) -> None:
        """Remove a file or a link; nothing is done where there is none."""

    def link(self, path: str, target: str) -> None:
        """Make or replace a symbolic link, and the directories that it needs; never in place of anything else."""

    def run(self, argv: Sequence[str], seconds: float = 300.0) -> str:
        """Run a program of the guest inside the appliance, without network; its standard output.

        Raises ``guest-command-failed`` with what it said.
        """


class FixContext(Protocol):
    """What a fixer, or a check of the guest, may see and say."""

    @property
    def guest(self) -> Guest:
        """What is asked for."""

    @property
    def system(self) -> GuestSystem:
        """The guest. A check that writes to it fails."""

    @property
    def options(self) -> Mapping[str, object]:
        """The manifest's object of this fixer's concern (``fix.fstab`` …), defaults filled in."""

    @property
    def findings(self) -> Mapping[str, object]:
        """What LOAD and INSPECT found out, as the report has it: an OVF's network cards, for example."""

    def finding(self, key: str, value: object) -> None:
        """A fact for the report, a JSON value."""

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        """The result of a check. One that was not passed fails the guest with ``guest-check-failed`` once all ran."""

    def warn(self, problem: Problem) -> None:
        """Something that the operator should know and that does not fail the guest."""

    def log(self, line: str) -> None:
        """One line for the guest's log."""


def is_linux(facts: GuestFacts) -> bool:
    """Whether the guest is a Linux."""
    return facts.os_type == "linux"


@dataclass(frozen=True, slots=True)
class Fixer:
    """Mends one concern of a guest so that it boots on KVM. ``fix`` runs in the worker, and is idempotent.

    ``concern`` is the key under the manifest's ``fix`` that switches it; a key that is not there switches it on.
    ``applies`` says whether the guest is of its kind (a distribution's own fixer looks at ``facts.distro``). Lower
    ``order`` comes first: 100 fstab, 200 boot loader, 300 network, 400 leftovers of the former hypervisor, 900
    initramfs, which needs what the others did.
    """

    name: str
    concern: str
    fix: Callable[[FixContext], None]
    applies: Callable[[GuestFacts], bool] = is_linux
    order: int = 100


@dataclass(frozen=True, slots=True)
class GuestCheck:
    """Looks into the guest as it will be converted: after all fixers, in the same appliance, before CONVERT.

    ``check`` tells its results by ``context.check``, and changes nothing.
    """

    name: str
    check: Callable[[FixContext], None]
    applies: Callable[[GuestFacts], bool] = is_linux
    order: int = 100
