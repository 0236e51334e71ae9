"""Is a dropped file ready to be claimed? The judgement of one entry, without any memory of its own."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.host.files import has_writer, open_regular
from hypersdkd.host.image_end import incomplete
from hypersdkd.model.document import MAX_BYTES, is_truncated, parse_document
from hypersdkd.model.job import MODE_SUFFIXES, PARTIAL_SUFFIXES, SIDECAR_SUFFIXES
from hypersdkd.model.problem import ProblemError

#: A JSON text that ends too early may be a writer's pause between two openings: wait this many settle times.
_PATIENCE: Final = 10


class Verdict(StrEnum):
    """What is to be done with an entry of the drop directory."""

    READY = "ready"
    WAITING = "waiting"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the drop directory as last judged.

    ``arrived`` orders claims: the time of the last change to the inode (a rename counts), nanoseconds.
    ``steady_since`` is the monotonic time at which this size and mtime were first seen, in seconds.
    """

    verdict: Verdict
    reason: str = ""
    size: int = 0
    arrived: int = 0
    mtime: int = 0
    steady_since: float = 0.0
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """The rules of one queue. ``settle_seconds``: how long a file must stay unchanged where no better sign exists."""

    mode: str
    settle_seconds: float

    @property
    def suffixes(self) -> frozenset[str]:
        """What the mode takes, in lower case."""
        return MODE_SUFFIXES[self.mode]

    def not_for_us(self, name: str) -> str:
        """Why a name is never a job here; empty when it may be one."""
        lower = name.lower()
        if name.startswith("."):
            return "hidden"
        if lower.endswith(PARTIAL_SUFFIXES):
            return "a partial file, by its name"
        if lower.endswith(SIDECAR_SUFFIXES):
            return "a sidecar, by its name"
        if PurePosixPath(lower).suffix not in self.suffixes:
            return f"not of {self.mode} mode, by its suffix"
        return ""

    def judge(self, directory: Path, name: str, before: Entry | None, clock: float, moved: bool) -> Entry | None:
        """Look at one entry. ``before`` is the last judgement; ``None`` back means that the entry is gone.

        ``moved`` says that it just arrived by a rename, hence whole unless a writer still has it open.
        """
        path = directory / name
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return Entry(Verdict.WAITING, f"cannot be read: {error.strerror}")
        reason = _wrong_kind(found.st_mode) or self.not_for_us(name)
        steady = clock
        if before is not None and (before.size, before.mtime) == (found.st_size, found.st_mtime_ns):
            steady, moved = before.steady_since or clock, moved or before.moved
        entry = Entry(Verdict.IGNORED, reason, found.st_size, found.st_ctime_ns, found.st_mtime_ns, steady, moved)
        if reason:
            return entry
        waits_for = self._waits_for(path, entry, clock)
        verdict = Verdict.WAITING if waits_for else Verdict.READY
        return Entry(verdict, waits_for, entry.size, entry.arrived, entry.mtime, steady, moved)

    def _waits_for(self, path: Path, entry: Entry, clock: float) -> str:
        try:
            fd = open_regular(path)
            try:
                return self._judge_content(fd, path, entry, clock)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP, errno.EINVAL}:
                return "changing"
            return f"cannot be read: {error.strerror}"

    def _judge_content(self, fd: int, path: Path, entry: Entry, clock: float) -> str:
        writer = has_writer(fd)
        if writer:
            return "another process has it open for writing"
        whole = entry.moved and writer is False
        steady = clock - entry.steady_since
        if self.mode == "manifest":
            return self._document(fd, path.suffix.lower(), entry.size, whole, steady)
        return incomplete(path) or ("" if whole else self._settling(steady))

    def _document(self, fd: int, suffix: str, size: int, whole: bool, steady: float) -> str:
        if suffix != ".json" or size > MAX_BYTES:
            return "" if whole else self._settling(steady)
        text = os.pread(fd, MAX_BYTES, 0)
        if is_truncated(text):
            waited = steady >= self.settle_seconds * _PATIENCE
            return "" if whole or waited else "its JSON is not complete yet"
        if _is_object(text):
            return ""  # no proper part of a JSON object is one, so this is the whole
        return "" if whole else self._settling(steady)

    def _settling(self, steady: float) -> str:
        return "" if steady >= self.settle_seconds else f"settling for {self.settle_seconds:g} s"


def _wrong_kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "not a regular file"


def _is_object(text: bytes) -> bool:
    try:
        parse_document(text, "json")
    except ProblemError:
        return False
    return True
