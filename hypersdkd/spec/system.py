"""The port to a guest's own files, and how a fixer is declared.

INSPECT, FIX and the checks of VALIDATE that look into the guest share one appliance, launched when it is first
asked for. Paths are the guest's, absolute; a link in the guest leads nowhere but into the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import Problem


class GuestSystem(Protocol):
    """A guest's system, its file systems mounted as it mounts them itself. What is written goes to an overlay.

    Anything that the guest makes impossible (an I/O error, a loop of links, no space) is a ``ProblemError``.
    """

    @property
    def facts(self) -> GuestFacts:
        """What was found out about it."""

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """A regular file's content; ``None`` where there is none. ``guest-file-unusual`` for anything else, a link that
        leads out of the file's own kind of place, or one of more than ``limit`` bytes."""

    def names(self, directory: str) -> Sequence[str]:
        """The names in a directory, sorted; empty where there is none."""

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Put a file in place, whole; an existing one keeps owner, mode and labels. Recorded as a change."""

    def append(self, path: str, content: bytes) -> None:
        """Add to a file's end; recorded by its size."""

    def remove(self, path: str) -> None:
        """Remove a file or a link; recorded."""

    def link(self, path: str, target: str) -> None:
        """Make or replace a symbolic link; recorded."""

    def run(self, argv: Sequence[str], seconds: float = 300.0) -> str:
        """Run a program of the guest inside the appliance, without network; its standard output.

        Raises ``guest-command-failed`` with what it said.
        """


class FixContext(Protocol):
    """What a fixer may see and say."""

    @property
    def system(self) -> GuestSystem:
        """The guest."""

    @property
    def options(self) -> Mapping[str, object]:
        """The manifest's object of this fixer's concern (``fix.fstab`` …), defaults filled in."""

    def warn(self, problem: Problem) -> None:
        """Something that the operator should know and that does not fail the guest."""

    def log(self, line: str) -> None:
        """One line for the guest's log."""


@dataclass(frozen=True, slots=True)
class Fixer:
    """Mends one concern of a guest so that it boots on KVM. ``fix`` runs in the worker, and is idempotent.

    ``concern`` is the key under the manifest's ``fix`` that switches it. ``applies`` says whether the guest is of
    its kind (a distribution's own fixer looks at ``facts.distro``). Lower ``order`` comes first: 100 fstab,
    200 boot loader, 300 network, 400 leftovers of the former hypervisor, 900 initramfs, which needs what the others did.
    """

    name: str
    concern: str
    fix: Callable[[FixContext], None]
    applies: Callable[[GuestFacts], bool] = lambda facts: facts.os_type == "linux"
    order: int = 100
