"""The queue's directories: their names, their making, and the lock that keeps a second daemon out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.files import remove_tree, try_lock
from hypersdkd.model.problem import fail

#: Directories of ended jobs hold one directory a day.
ENDED: Final = ("processed", "failed")


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
        device = self.base.stat().st_dev
        for directory in (self.drop, self.processing, self.processed, self.failed, self.private, self.jobs):
            if directory.stat().st_dev != device:
                raise fail("queue-split", f"{directory} is not on the file system of {self.base}")
            if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
                raise fail("queue-unusable", f"{directory} cannot be written by user {os.geteuid()}")

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


def _make(directory: Path, mode: int) -> None:
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise fail("queue-unusable", f"{directory} cannot be made: {error.strerror}") from error
