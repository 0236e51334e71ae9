"""The queue's directories: their names, their making, and the lock that keeps a second daemon out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.files import remove_tree, try_lock
from hypersdkd.host.identity import name_of
from hypersdkd.model.problem import fail

#: Directories of ended jobs hold one directory a day.
ENDED: Final = ("processed", "failed")

#: ``StateDirectory=`` of the units: systemd makes it for the service's user.
STATE: Final = Path("/var/lib/hyper2kvm")


@dataclass(frozen=True, slots=True)
class QueueLayout:
    """Where everything of one queue lies. The first four are the users', the rest is ours."""

    base: Path

    @property
    def drop(self) -> Path:
        """Where users put files."""
        return self.base / "to_be_processed"

    @property
    def processing(self) -> Path:
        """Files that are being worked on."""
        return self.base / "processing"

    @property
    def processed(self) -> Path:
        """Completed jobs, in a directory a day."""
        return self.base / "processed"

    @property
    def failed(self) -> Path:
        """Failed and cancelled jobs, in a directory a day."""
        return self.base / "failed"

    @property
    def private(self) -> Path:
        """Our own directory."""
        return self.base / ".hypersdkd"

    @property
    def scratch(self) -> Path:
        """Drafts on the way to their name; emptied at start."""
        return self.private / "tmp"

    @property
    def jobs(self) -> Path:
        """A directory a job: its claim, its guests' journals."""
        return self.private / "jobs"

    @property
    def appliance(self) -> Path:
        """libguestfs' appliance, kept between guests."""
        return self.private / "appliance"

    @property
    def pause_mark(self) -> Path:
        """Exists while the queue is paused."""
        return self.private / "paused"

    def prepare(self) -> None:
        """Make what is missing. Raises ``ProblemError``: ``queue-unusable`` or ``queue-split``."""
        for directory in (self.base, self.drop, self.processing, self.processed, self.failed):
            _make(directory, 0o775)
        for directory in (self.private, self.scratch, self.jobs):
            _make(directory, 0o750)
        self.check()

    def check(self) -> None:
        """Look whether :meth:`prepare` would do, and make nothing. Raises the same."""
        for directory in (self.drop, self.processing, self.processed, self.failed, self.private, self.jobs):
            if hinders := hindrance(directory):
                raise fail("queue-unusable", hinders)
            if directory.is_dir() and directory.stat().st_dev != self.base.stat().st_dev:
                raise fail("queue-split", f"{directory} is not on the file system of {self.base}")

    def mend(self) -> None:
        """Make the users' directories again where somebody tidied them away; ``queue-unusable``.

        Not where our own directory is gone too: then the whole queue is, as when its storage is unmounted.
        """
        if self.private.is_dir():
            for directory in (self.drop, self.processing, self.processed, self.failed):
                _make(directory, 0o775)

    def lock(self) -> int:
        """Become the only daemon of this queue; the lock lasts as long as the descriptor. ``queue-locked``."""
        fd = try_lock(self.private / "lock")
        if fd is None:
            raise fail("queue-locked", f"another daemon works {self.base}")
        return fd

    def clear_scratch(self) -> None:
        """Remove drafts that a killed daemon left, where that can be done. Only under the lock."""
        for entry in os.scandir(self.scratch):
            with contextlib.suppress(OSError):  # no name of ours is used twice: it is in nobody's way
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(Path(entry.path))
                else:
                    Path(entry.path).unlink()

    def dated(self) -> Iterator[Path]:
        """Every directory of ended jobs that exists now."""
        for name in ENDED:
            with contextlib.suppress(FileNotFoundError), os.scandir(self.base / name) as entries:
                yield from [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def hindrance(directory: Path) -> str:
    """Why this user could not work in ``directory``, or make it where it is missing; empty if it could."""
    place = directory
    while not os.path.lexists(place):
        place = place.parent
    if not os.path.isdir(place):  # noqa: PTH112 - what cannot be looked at is none
        return f"{directory}: {place} is not a directory, or cannot be looked at"
    if os.access(place, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return ""
    if os.statvfs(place).f_flag & os.ST_RDONLY:  # so the sandbox of a unit shows as well
        return f"{directory} is read-only here, by its mount or by the unit's ProtectSystem= without ReadWritePaths="
    if place == directory:
        return f"{directory} cannot be written by user {name_of(os.geteuid())}"
    if os.getuid() == 0 and STATE not in (place, *place.parents) and STATE in (directory, *directory.parents):
        return ""  # root asks for a service that has not been started yet
    return f"{directory} cannot be made: {place} cannot be written by user {name_of(os.geteuid())}"


def _make(directory: Path, mode: int) -> None:
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise fail("queue-unusable", f"{directory} cannot be made: {error.strerror}") from error
