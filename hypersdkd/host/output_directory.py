"""The directory of an output, reached step by step from the output root that it lies below.

Others may be allowed to write below a root. Whatever they put in our way, a link above all, ends the walk; and
once the directory is open it is that very directory that is written to, whatever its name means by then.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hypersdkd.host.files import open_regular, sync_directory
from hypersdkd.host.image_file import ImageFile
from hypersdkd.model.disk import OutputDisk
from hypersdkd.model.problem import ProblemError, fail

#: Directories between a root and an output at most: a manifest shall not fill a disk with them.
MAX_LEVELS: Final = 16

#: Nothing is read on the way, so that a process that may not read what is above its output gets there too.
_OPEN: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputDirectory:
    """An open directory. ``path`` is its name for messages; files in it are reached by :meth:`at` alone."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls, path: Path, root: Path, *, make: bool = False) -> OutputDirectory:
        """Open ``path``, ``root`` or below it; with ``make`` what is missing is made (0755), durably.

        Raises ``output-outside`` when there is a link on the way, and ``output-unwritable``.
        """
        steps = path.relative_to(root).parts if path.is_relative_to(root) and root.is_absolute() else ("..",)
        if ".." in steps:
            raise fail("output-outside", f"{path} is outside the output directory {root}")
        if len(steps) > MAX_LEVELS:
            raise fail("output-unwritable", f"{path} is more than {MAX_LEVELS} directories below {root}")
        try:
            if make:
                root.mkdir(mode=0o775, parents=True, exist_ok=True)
            fd = os.open(root, _OPEN)
        except OSError as error:
            raise fail("output-unwritable", f"{root} cannot be opened: {error.strerror}") from error
        for number, name in enumerate(steps, start=1):
            try:
                below = _enter(name, fd, make=make)
            except OSError as error:
                raise _refused(root.joinpath(*steps[:number]), name, fd, error) from error
            finally:
                os.close(fd)
            fd = below
        return cls(path, fd)

    @property
    def here(self) -> Path:
        """The directory itself, by its descriptor."""
        return Path(f"/proc/self/fd/{self._fd}")

    def at(self, name: str) -> Path:
        """The path by which this process, and only it, reaches the file ``name`` in this very directory."""
        if name in {"", ".", ".."} or "/" in name:
            raise fail("output-outside", f"{name!r} is no file's name")
        return self.here / name

    def require_writable(self) -> None:
        """Raises ``output-unwritable`` unless files can be made here."""
        if not os.access(self.here, os.W_OK | os.X_OK, effective_ids=True):
            raise fail("output-unwritable", f"{self.path} cannot be written")

    def free_bytes(self) -> int:
        """Bytes that an ordinary user can still write."""
        status = os.statvfs(self._fd)
        return status.f_bavail * status.f_frsize

    def identity(self, name: str) -> tuple[int, int] | None:
        """Device and inode of ``name``, a link not followed; ``None`` when there is nothing."""
        try:
            found = self.at(name).lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def write_new(self, name: str, content: bytes, *, beside: str) -> tuple[int, int]:
        """Write a new file, durably; its device and inode. ``output-exists`` if there is a ``beside``, its later name.

        Raises ``output-unwritable``.
        """
        if self.identity(beside) is not None:
            raise fail("output-exists", f"{self.path / beside} exists")
        try:
            fd = os.open(self.at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(fd)
                found = os.fstat(fd)
        except OSError as error:
            raise fail("output-unwritable", f"{self.path} cannot be written: {error.strerror}") from error
        return found.st_dev, found.st_ino

    def remove(self, name: str) -> bool:
        """Remove a file, as far as it can be; whether nothing of that name is left."""
        with contextlib.suppress(OSError):
            self.at(name).unlink(missing_ok=True)
        return self.identity(name) is None

    def close(self) -> None:
        """Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> OutputDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _enter(name: str, parent: int, *, make: bool) -> int:
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o775, dir_fd=parent)
            sync_directory(Path(f"/proc/self/fd/{parent}"))
    return os.open(name, _OPEN, dir_fd=parent)


def _refused(path: Path, name: str, parent: int, error: OSError) -> ProblemError:
    with contextlib.suppress(OSError):
        if error.errno in {errno.ELOOP, errno.ENOTDIR} and os.readlink(name, dir_fd=parent):
            return fail("output-outside", f"{path} is a link, and was none when the job was planned")
    return fail("output-unwritable", f"{path} cannot be opened: {error.strerror}")


@contextmanager
def opened_output(output: OutputDisk, root: Path) -> Iterator[ImageFile]:
    """Open a written output under its temporary name. Raises ``output-invalid`` when it is another file.

    And ``OSError``, and what :meth:`OutputDirectory.open` raises.
    """
    with OutputDirectory.open(output.temporary.parent, root) as directory:
        fd = open_regular(directory.at(output.temporary.name))
    try:
        found = os.fstat(fd)
        if output.identity not in {(), (found.st_dev, found.st_ino)}:
            raise fail("output-invalid", f"{output.temporary} is not the file that was written")
        yield ImageFile.of(fd, output.path.name)
    finally:
        os.close(fd)
