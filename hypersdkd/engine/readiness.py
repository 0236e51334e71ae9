"""Is a dropped file ready to be claimed? The judgement of one entry, without any memory of its own."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from hypersdkd.host.companions import ALONE, Needs, needs_of
from hypersdkd.host.files import has_writer, open_regular
from hypersdkd.host.image_end import incomplete
from hypersdkd.model.document import MAX_BYTES, JsonEnd, json_end
from hypersdkd.model.job import DISK_SUFFIXES, DOCUMENT_SUFFIXES, MODE_SUFFIXES, PARTIAL_SUFFIXES, SIDECAR_SUFFIXES
from hypersdkd.model.manifest_draft import name_of

#: A JSON text that ends too early may be a writer's pause between two openings: wait this many settle times.
_PATIENCE: Final = 10

#: Suffixes of compressed disks and archives, which a cloud image may have as its provider publishes it.
_ARCHIVES: Final = frozenset({".tar", ".tgz", ".gz", ".xz", ".zst"})

#: Seconds after which an incomplete file that did not change is read again, doubled each time up to the limit:
#: a change within one tick of the file system's clock shows in no time of the file.
_AGAIN: Final = 1.0
_AGAIN_LIMIT: Final = 60.0

#: Seconds in which each change of an incomplete file is looked at. After that the pauses hold for it as well.
_EAGER: Final = 60.0


class Verdict(StrEnum):
    """What is to be done with an entry of the drop directory."""

    READY = "ready"
    WAITING = "waiting"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Look:
    """What a file was found to hold, so that the same content is not read at every judgement.

    ``key`` is device, inode, size, mtime and ctime; ``whole`` is ``None`` where content alone cannot tell, and
    ``reason`` says what is missing when it is false. Then ``since`` is when that was first seen, and ``pause``
    the seconds from ``at`` before it is looked at again; monotonic times. ``needs`` are files beside it, in disk mode.
    """

    key: tuple[int, ...]
    whole: bool | None
    reason: str = ""
    at: float = 0.0
    since: float = 0.0
    pause: float = 0.0
    needs: Needs = ALONE

    def holds(self, key: tuple[int, ...], clock: float) -> bool:
        """Whether it may be taken for what the file of ``key`` holds now."""
        if self.whole is not False:
            return self.key == key
        rests = clock < self.at + self.pause
        return rests and (self.key == key or (self.key[:2] == key[:2] and clock >= self.since + _EAGER))


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the drop directory as last judged.

    ``arrived`` orders claims: the time of the last change to the inode (a rename counts), nanoseconds.
    ``steady_since`` is the monotonic time at which this size and mtime were first seen, in seconds; ``settled`` that
    this is long enough ago, and ``quiet`` that nobody writes to it any more, by that or by a better sign.

    ``movable`` is a regular file that may go along with another, even if it is no job by itself. ``held``: it waits
    for other files alone, so that another look at it is of no use (:mod:`hypersdkd.engine.grouping`).
    """

    verdict: Verdict
    reason: str = ""
    size: int = 0
    arrived: int = 0
    mtime: int = 0
    steady_since: float = 0.0
    moved: bool = False
    look: Look | None = None
    movable: bool = False
    quiet: bool = False
    settled: bool = False
    held: bool = False

    @property
    def needs(self) -> Needs:
        """The files that it needs beside it, as far as it could be read."""
        return self.look.needs if self.look is not None else ALONE

    @property
    def is_cut(self) -> bool:
        """Whether its content says that more of it must come."""
        return self.look is not None and self.look.whole is False


class Waits(NamedTuple):
    """Why a file is not ready; empty when it is."""

    reason: str
    look: Look | None
    quiet: bool = False


@dataclass(slots=True)
class Readiness:
    """The rules of one queue. ``settle_seconds``: how long a file must stay unchanged where no better sign exists; it
    may be changed at any time."""

    mode: str
    settle_seconds: float

    @property
    def suffixes(self) -> frozenset[str]:
        """What the mode takes, in lower case."""
        return MODE_SUFFIXES[self.mode]

    def not_for_us(self, name: str) -> str:
        """Why a name is never a job here; empty when it may be one."""
        if reason := _never(name):
            return reason
        suffix = PurePosixPath(name.lower()).suffix
        if suffix in self.suffixes:
            return ""
        instead = ""
        if self.mode == "disk" and suffix in _ARCHIVES:
            instead = f"; call a cloud image {name_of(name) or 'NAME'}.ami"
        elif suffix in DISK_SUFFIXES:
            instead = "; name the disk in a manifest"
        return f"not of {self.mode} mode, by its suffix{instead}"

    def judge(self, directory: Path, name: str, before: Entry | None, clock: float, moved: bool) -> Entry | None:
        """Look at one entry. ``before`` is the last judgement; ``None`` back means that the entry is gone.

        ``moved`` says that it just arrived by a rename, hence whole unless a writer still has it open. In disk mode
        what is no job by its suffix is looked at too: it may be another's companion.
        """
        path = directory / name
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Entry(Verdict.WAITING, f"cannot be read: {error.strerror}")
        reason = _wrong_kind(found.st_mode) or self.not_for_us(name)
        movable = self.mode == "disk" and stat.S_ISREG(found.st_mode) and not _never(name)
        steady = clock
        if before is not None and (before.size, before.mtime) == (found.st_size, found.st_mtime_ns):
            steady, moved = before.steady_since or clock, moved or before.moved
        entry = Entry(Verdict.IGNORED, reason, found.st_size, found.st_ctime_ns, found.st_mtime_ns, steady, moved)
        if reason and not movable:
            return entry
        waits = self._waits_for(path, entry, before.look if before else None, clock)
        if not reason:
            entry = replace(entry, verdict=Verdict.WAITING if waits.reason else Verdict.READY, reason=waits.reason)
        settled = clock - steady >= self.settle_seconds
        return replace(entry, look=waits.look, quiet=waits.quiet, movable=movable, settled=settled)

    def _waits_for(self, path: Path, entry: Entry, before: Look | None, clock: float) -> Waits:
        try:
            fd = open_regular(path)
            try:
                return self._judge_content(fd, path, entry, before, clock)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.EINVAL}:
                return Waits("changing", before)
            return Waits(f"cannot be read: {error.strerror}", before)

    def _judge_content(self, fd: int, path: Path, entry: Entry, before: Look | None, clock: float) -> Waits:
        writer = has_writer(fd)
        if writer:
            return Waits("another process has it open for writing", before)
        moved = entry.moved and writer is False
        steady = clock - entry.steady_since
        look = self._look(fd, path, before, clock)
        quiet = moved or bool(look.whole) or steady >= self.settle_seconds
        if look.whole is False:
            # A disk without its end is none; a document is broken then, which its job will say.
            given_up = _is_document(path) and (moved or steady >= self.settle_seconds * _PATIENCE)
            return Waits("" if given_up else look.reason, look, quiet)
        if not quiet:
            return Waits(f"settling for {self.settle_seconds:g} s", look)
        if _is_document(path) or steady >= self.settle_seconds:
            return Waits("", look, quiet)
        return Waits(f"settling for {self.settle_seconds:g} s (a file that needs it may come next)", look, quiet)

    def _look(self, fd: int, path: Path, before: Look | None, clock: float) -> Look:
        found = os.fstat(fd)
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if before is not None and before.holds(key, clock):
            return before
        needs = needs_of(fd, path.name) if self.mode == "disk" else ALONE
        whole, reason = self._read(fd, path, found.st_size, needs)
        if whole is not False:
            return Look(key, whole, needs=needs)
        again = before is not None and before.whole is False and before.key[:2] == key[:2]
        if before is None or not again:
            return Look(key, False, reason, clock, clock, _AGAIN, needs)
        return Look(key, False, reason, clock, before.since, min(_AGAIN_LIMIT, 2 * before.pause), needs)

    def _read(self, fd: int, path: Path, size: int, needs: Needs) -> tuple[bool | None, str]:
        if not _is_document(path):
            reason = incomplete(path, named=not needs.extent)
            return (False, reason) if reason else (None, "")
        if path.suffix.lower() != ".json" or size > MAX_BYTES:
            return None, ""
        end = json_end(os.pread(fd, MAX_BYTES, 0))
        if end is JsonEnd.CUT:
            return False, "its JSON is not complete yet"
        return (True if end is JsonEnd.OBJECT else None), ""


def _is_document(path: Path) -> bool:
    """Whether it is a manifest or a job config, by its name; of all else readiness takes only disks."""
    return path.suffix.lower() in DOCUMENT_SUFFIXES


def _wrong_kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "not a regular file"


def _never(name: str) -> str:
    """Why a file of that name is none of ours in any queue, not even as another's companion."""
    lower = name.lower()
    if name.startswith("."):
        return "hidden"
    if lower.endswith(PARTIAL_SUFFIXES):
        return "a partial file, by its name"
    return "a sidecar, by its name" if lower.endswith(SIDECAR_SUFFIXES) else ""
