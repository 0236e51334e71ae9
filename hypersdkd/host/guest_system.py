"""A guest's files under the rules for them: which links are followed, how much is read, and every change on record."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hypersdkd.model.file_change import FileChange, change_of
from hypersdkd.model.guest_facts import READ_LIMIT, GuestFacts
from hypersdkd.model.problem import ProblemError, fail

#: Where a link may lead whatever it is called: there are no secrets.
_OPEN_PLACES: Final = ("/boot/", "/usr/", "/etc/default/")

#: Bytes of a former content that are read to be shown; a larger file is told by its size.
_SHOWN_LIMIT: Final = 4 << 20

_A: Final = {
    "file": "a file",
    "directory": "a directory",
    "link": "a link",
    "other": "a device or the like",
    "": "gone",
}


class GuestFiles(Protocol):
    """A guest's files as they are. All paths are absolute; only ``resolve`` follows a link at the end of one.

    Raises ``ProblemError`` for whatever the guest makes impossible.
    """

    def resolve(self, path: str) -> str | None:
        """Where a path leads; ``None`` where there is nothing."""

    def kind(self, path: str) -> str:
        """As :meth:`RecordedSystem.kind`."""

    def size(self, path: str) -> int:
        """Bytes of a file."""

    def target(self, path: str) -> str:
        """What a link says."""

    def names(self, directory: str) -> Sequence[str]:
        """The names in a directory, sorted."""

    def free(self, path: str) -> int:
        """Bytes that are free where ``path`` lies."""

    def read(self, path: str) -> bytes:
        """A file's content."""

    def write(self, path: str, content: bytes, mode: int | None) -> None:
        """Replace a file's content, or, with a ``mode``, make the file."""

    def append(self, path: str, content: bytes) -> None:
        """Add to a file's end."""

    def remove(self, path: str) -> None:
        """Remove a file or a link."""

    def link(self, path: str, target: str) -> None:
        """Make a link where there is nothing."""

    def make_directories(self, path: str) -> None:
        """Make a directory and those above it, where they are missing."""

    def run(self, argv: Sequence[str], seconds: float) -> str:
        """Run a program of the guest; its standard output."""


class RecordedSystem:
    """Implements ``spec.system.GuestSystem`` over files. ``tell`` hears of each change."""

    def __init__(
        self, files: GuestFiles, facts: GuestFacts, tell: Callable[[FileChange], None] = lambda _change: None
    ) -> None:
        self._files = files
        self._facts = facts
        self._tell = tell
        self._changes: list[FileChange] = []
        self.writable = True

    @property
    def facts(self) -> GuestFacts:
        """What was found out about it."""
        return self._facts

    @property
    def changes(self) -> Sequence[FileChange]:
        """What was changed so far."""
        return tuple(self._changes)

    # -- looking ------------------------------------------------------------------------------------

    def kind(self, path: str) -> str:
        """What is there; a link is not followed."""
        return self._files.kind(_absolute(path))

    def target(self, path: str) -> str | None:
        """What a link says."""
        return self._files.target(path) if self.kind(path) == "link" else None

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes | None:
        """A regular file's content."""
        place = self._place(path)
        if place is None:
            return None
        size = self._files.size(place)
        if size > limit:
            raise fail("guest-file-unusual", f"{path} in the guest has {size} bytes; {limit} are looked at")
        return self._files.read(place)

    def names(self, directory: str) -> Sequence[str]:
        """The names in a directory."""
        place = self._files.resolve(_absolute(directory))
        return self._files.names(place) if place is not None and self._files.kind(place) == "directory" else ()

    def free(self, path: str) -> int:
        """Bytes that are free there."""
        return self._files.free(_absolute(path))

    # -- changing -----------------------------------------------------------------------------------

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Put a file in place."""
        place = self._place(path)
        if place is None:
            self._begin(path)
            self._require_nothing(path)
            self._files.make_directories(posixpath.dirname(path))
            self._files.write(path, content, mode)
            self._record(change_of(path, "written", None, content))
            return
        before = self._files.read(place) if self._files.size(place) <= _SHOWN_LIMIT else None
        if before == content:
            return
        self._begin(path)
        size = self._files.size(place)
        self._files.write(place, content, None)
        if before is None:
            self._record(FileChange(path, "written", {"bytes": size}, {"bytes": len(content)}))
        else:
            self._record(change_of(path, "written", before, content))

    def append(self, path: str, content: bytes) -> None:
        """Add to a file's end."""
        self._begin(path)
        place = self._place(path)
        if place is None:
            raise fail("guest-file-unusual", f"{path} is not there in the guest, and nothing can be added to it")
        size = self._files.size(place)
        self._files.append(place, content)
        self._record(FileChange(path, "appended", {"bytes": size}, {"bytes": size + len(content)}))

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        kind = self.kind(path)
        if not kind:
            return
        self._begin(path)
        if kind not in {"file", "link"}:
            raise fail("guest-file-unusual", f"{path} in the guest is {_A[kind]}, and is not removed")
        before = self._shown(path, kind)
        self._files.remove(path)
        self._record(FileChange(path, "removed", before.before, None))

    def link(self, path: str, target: str) -> None:
        """Make or replace a link."""
        kind = self.kind(path)
        if kind == "link" and self._files.target(path) == target:
            return
        self._begin(path)
        before = None
        if kind == "link":
            before = self._shown(path, kind).before
            self._files.remove(path)
        else:
            self._require_nothing(path)
            self._files.make_directories(posixpath.dirname(path))
        self._files.link(path, target)
        after = change_of(path, "linked", None, f"link to {target}".encode(errors="surrogateescape")).after
        self._record(FileChange(path, "linked", before, after))

    def run(self, argv: Sequence[str], seconds: float = 300.0) -> str:
        """Run a program of the guest."""
        self._begin(argv[0])
        after = change_of(argv[0], "ran", None, shlex.join(argv).encode(errors="surrogateescape")).after
        self._record(FileChange(argv[0], "ran", None, after))
        return self._files.run(argv, seconds)

    # -- the rules ----------------------------------------------------------------------------------

    def _begin(self, path: str) -> None:
        if not self.writable:
            raise fail("step-failed", f"a check must not change the guest: {path}")

    def _require_nothing(self, path: str) -> None:
        if self.kind(path):
            raise fail("guest-file-unusual", f"{path} in the guest is {_A[self.kind(path)]}, and is not replaced")

    def _record(self, change: FileChange) -> None:
        self._changes.append(change)
        self._tell(change)

    def _shown(self, path: str, kind: str) -> FileChange:
        if kind == "link":
            return change_of(path, "", f"link to {self._files.target(path)}".encode(errors="surrogateescape"), None)
        size = self._files.size(path)
        if size > _SHOWN_LIMIT:
            return FileChange(path, "", {"bytes": size}, None)
        return change_of(path, "", self._files.read(path), None)

    def _place(self, path: str) -> str | None:
        """Where a regular file really lies; ``None`` where there is none. Raises ``guest-file-unusual``."""
        try:
            place = self._files.resolve(_absolute(path))
        except ProblemError as error:
            raise fail(
                "guest-file-unusual", f"{path} in the guest cannot be followed: {error.problem.message}"
            ) from error
        if place is None:
            return None
        if not (posixpath.basename(place) == posixpath.basename(path) or place.startswith(_OPEN_PLACES)):
            raise fail("guest-file-unusual", f"{path} in the guest is a link to {place}, where it should not lead")
        kind = self._files.kind(place)
        if kind != "file":
            raise fail("guest-file-unusual", f"{path} in the guest is {_A[kind]}, not a file")
        return place


def _absolute(path: str) -> str:
    """Only what names one thing: no ``..`` and no NUL, which would mean something else below."""
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise fail("guest-file-unusual", f"{path!r} is not an absolute path of a guest")
    return path
