"""A guest's files in the appliance."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from hypersdkd.host.appliance import Appliance
from hypersdkd.model.problem import ProblemError, fail

#: Names of a directory that are taken.
_NAMES: Final = 10_000

#: Words of libguestfs for a path at which there is nothing.
_NOTHING: Final = ("No such file or directory", "Not a directory")


_Found = TypeVar("_Found")


class ApplianceGuest:
    """Implements ``host.guest_system.GuestFiles``. ``scratch`` is a directory of ours for what is on its way."""

    def __init__(self, appliance: Appliance, scratch: Path) -> None:
        self._appliance = appliance
        self._guestfs = appliance.guestfs
        self._transit = scratch / "transit"

    def resolve(self, path: str) -> str | None:
        """Where a path leads."""
        return _unless_nothing(lambda: self._guestfs.realpath(path))

    def kind(self, path: str) -> str:
        """What is there; a link is not followed."""
        found = _unless_nothing(lambda: self._guestfs.lstatns(path))
        if found is None:
            return ""
        mode = found["st_mode"]
        kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))
        return next((kind for test, kind in kinds if test(mode)), "other")

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return self._guestfs.lstatns(path)["st_size"]

    def target(self, path: str) -> str:
        """What a link says."""
        return self._guestfs.readlink(path)

    def names(self, directory: str) -> Sequence[str]:
        """The names in a directory that are text: of others nothing is known here."""
        self._guestfs.ls0(directory, str(self._transit))
        found = self._transit.read_bytes().split(b"\0")
        self._transit.unlink()
        texts = (name.decode(errors="replace") for name in found[:_NAMES] if name)
        return sorted(name for name in texts if "\ufffd" not in name)

    def free(self, path: str) -> int:
        """Bytes that are free there."""
        found = self._guestfs.statvfs(path)
        return found["bsize"] * found["bavail"]

    def read(self, path: str) -> bytes:
        """A file's content."""
        return self._guestfs.read_file(path)

    def write(self, path: str, content: bytes, mode: int | None) -> None:
        """Replace a file's content, or make the file."""
        self._require_space(path, len(content) - (self.size(path) if mode is None else 0))
        self._send(content, lambda name: self._guestfs.upload(name, path))
        if mode is not None:
            self._guestfs.chmod(mode, path)

    def append(self, path: str, content: bytes) -> None:
        """Add to a file's end."""
        size = self.size(path)
        self._require_space(path, len(content))
        self._send(content, lambda name: self._guestfs.upload_offset(name, path, size))

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        self._guestfs.rm(path)

    def link(self, path: str, target: str) -> None:
        """Make a link."""
        self._guestfs.ln_s(target, path)

    def make_directories(self, path: str) -> None:
        """Make a directory and those above it."""
        self._guestfs.mkdir_p(path)

    def run(self, argv: Sequence[str], seconds: float) -> str:
        """Run a program of the guest: the appliance's kernel, the guest's files, no network."""
        try:
            with self._appliance.limited(seconds):
                return self._guestfs.command(list(argv))
        except ProblemError as error:
            if error.problem.code != "guest-damaged":
                raise
            raise fail("guest-command-failed", f"{argv[0]} in the guest failed", detail=error.problem.detail) from error

    def _require_space(self, path: str, more: int) -> None:
        """libguestfs says only that it could not write. Raises ``guest-no-space``."""
        free = self.free(posixpath.dirname(path))
        if more > free:
            raise fail("guest-no-space", f"{path} of the guest needs {more} bytes more, and {free} are free there")

    def _send(self, content: bytes, send: Callable[[str], None]) -> None:
        self._transit.write_bytes(content)
        try:
            send(str(self._transit))
        finally:
            self._transit.unlink()


def _unless_nothing(call: Callable[[], _Found]) -> _Found | None:
    try:
        return call()
    except ProblemError as error:
        if any(words in error.problem.message for words in _NOTHING):
            return None
        raise
