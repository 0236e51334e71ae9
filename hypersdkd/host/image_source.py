"""Open a source: inside the allowed directories, a regular file, nobody writing to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from hypersdkd.host.files import has_writer, open_regular
from hypersdkd.model.disk import SourceDisk, SourceFile
from hypersdkd.model.problem import ProblemError, fail

#: A queue's own directory; nothing in it is anybody's source.
PRIVATE: Final = ".hypersdkd"


class Lease:
    """Keeps an open source from being written to: whoever opens it for that waits until the lease is released.

    They wait for at most ``/proc/sys/fs/lease-break-time`` (45 s); :meth:`broken` tells at once. A lease needs
    the file's owner or ``CAP_LEASE``, and a file system with leases. Where it cannot be had (``leased`` is false)
    a change is only noticed by the file's times. The descriptor ``fd`` is the lease's own from now on.
    Raises ``source-busy`` when somebody writes to the file already; ``fd`` is closed then.
    """

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.leased = False
        # The kernel tells of a breach by SIGIO, which ends a process, unless another is named. SIGURG does nothing.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            self.leased = True
        except BlockingIOError as error:
            self.release()
            raise fail("source-busy", f"another process has {name} open for writing") from error
        except OSError:
            settle(fd)

    def broken(self) -> bool:
        """Whether somebody has opened, or waits to open, the file for writing."""
        return self.leased and self.fd >= 0 and fcntl.fcntl(self.fd, fcntl.F_GETLEASE) != fcntl.F_RDLCK

    def release(self) -> None:
        """Let others write. Safe to call twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.release()


def settle(fd: int) -> None:
    """Write out what is still in memory: from then on also a write through a mapping changes the file's times."""
    with contextlib.suppress(OSError):
        os.fsync(fd)


def fingerprint(fd: int) -> tuple[int, ...]:
    """What changes when a file is written to: see :class:`hypersdkd.model.disk.SourceFile`."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def judged(disk: SourceDisk) -> Iterator[tuple[int, ...]]:
    """Open the files of a disk that was judged before, and make sure that they are still what was judged, before and
    after. The descriptors are in the order of ``disk.files``.

    Raises ``source-changed`` (also when one has vanished).
    """
    with ExitStack() as stack:
        fds = tuple(stack.enter_context(_judged(file)) for file in disk.files)
        yield fds


@contextmanager
def _judged(file: SourceFile) -> Iterator[int]:
    changed = fail("source-changed", f"{file.path.name} is not what it was when it was loaded")
    try:
        fd = open_regular(file.path)
    except OSError as error:
        raise changed from error
    try:
        if file.held is None:
            settle(fd)
        if _is_other(fd, file):
            raise changed
        try:
            yield fd
        finally:  # a change is the cause of whatever went wrong meanwhile
            if _is_other(fd, file):
                raise _changed_meanwhile(fd, file)
    finally:
        os.close(fd)


def _is_other(fd: int, file: SourceFile) -> bool:
    return fingerprint(fd) != file.fingerprint or file.broken()


def _changed_meanwhile(fd: int, file: SourceFile) -> ProblemError:
    if os.fstat(fd).st_nlink:
        return fail("source-changed", f"{file.path.name} changed while it was read")
    return fail(
        "source-changed",
        f"{file.path.name} was removed or replaced while it was read",
        remedy="Put the file back, and leave it there until its job has ended; then retry the job.",
    )


def open_source(path: str, roots: Sequence[Path]) -> tuple[Path, int]:
    """The resolved path and a read-only descriptor (the caller closes it).

    Links are followed as long as they stay below ``roots``, which must be resolved, and lead into no queue's own
    directory. Raises ``source-missing -outside -not-regular -unreadable -busy -changed``.
    """
    resolved = resolve_source(path, roots)
    return resolved, _open_at(resolved, Path(path).name or path)


def resolve_source(path: str, roots: Sequence[Path]) -> Path:
    """What :func:`open_source` opens. Raises ``source-missing -outside -not-regular -unreadable``."""
    resolved = _resolve(path, Path(path).name or path)
    if not any(resolved.is_relative_to(root) for root in roots):
        raise _outside(resolved, roots)
    if PRIVATE in resolved.parts:
        raise fail("source-outside", f"{resolved} is a queue's own", remedy="Name a disk image.")
    return resolved


def require_inside(path: str, roots: Sequence[Path]) -> None:
    """Raise ``source-outside`` for a path that leads out of ``roots``, without a word about what is there.

    ``roots`` as in :func:`open_source`. Raises ``ValueError`` for what can be no path.
    """
    resolved = Path(os.path.realpath(path))
    if not any(resolved.is_relative_to(root) for root in roots):
        given = Path(os.path.normpath(path))
        # Where a link leads is only told of one that lies where sources may.
        raise _outside(resolved if any(given.is_relative_to(root) for root in roots) else given, roots)


def open_sibling(beside: Path, name: str) -> tuple[Path, int]:
    """The path and a read-only descriptor (the caller closes it) of a file that a source names: ``name``, in the
    directory of ``beside``, which must be resolved.

    Only a plain file name is taken, and only a regular file, no link. Raises ``source-outside`` for any other name,
    else what :func:`open_source` does.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise fail(
            "source-outside",
            f"{beside.name} names {name!r}, which is not a file beside it",
            remedy="Put the files into one directory and let them name each other by their file names alone.",
        )
    path = beside.parent / name
    return path, _open_at(path, name)


def _open_at(path: Path, shown: str) -> int:
    """A descriptor of the regular file at that very place, to which nobody writes."""
    try:
        fd = open_regular(path)
    except OSError as error:
        raise _unopened(error, shown) from error
    try:
        if Path(f"/proc/self/fd/{fd}").readlink() != path:
            raise fail("source-changed", f"{shown} was moved while it was opened")
        if has_writer(fd):
            raise fail("source-busy", f"another process has {shown} open for writing")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _resolve(path: str, shown: str) -> Path:
    if not path.startswith("/"):
        raise fail("source-missing", f"{path} is not an absolute path", remedy="Give the source's absolute path.")
    try:
        return Path(os.path.realpath(path, strict=True))
    except ValueError as error:  # an embedded NUL, or what no file system encoding can hold
        raise fail("source-missing", f"no file can have the name {shown!r}") from error
    except OSError as error:
        raise _unopened(error, path) from error


def _unopened(error: OSError, shown: str) -> ProblemError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return fail("source-unreadable", f"{shown} may not be read")
    if error.errno == errno.ELOOP:
        return fail("source-not-regular", f"{shown} is a link that leads nowhere")
    if error.errno in (errno.EINVAL, errno.ENXIO):  # ENXIO: a socket, or a device without a driver
        return fail("source-not-regular", f"{shown} is not a regular file")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return fail(
            "image-limits",
            f"{shown} cannot be opened: too many files are open",
            remedy="Raise the limit of open files (LimitNOFILE= of the unit).",
        )
    return fail("source-missing", f"{shown} cannot be opened: {os.strerror(error.errno or 0)}")


def _outside(resolved: Path, roots: Sequence[Path]) -> ProblemError:
    allowed = ", ".join(map(str, (*roots, resolved.parent)))
    return fail(
        "source-outside",
        f"{resolved} is outside the directories that sources may come from",
        remedy=f"Move it below the queue, or set in the configuration: workflow: {{source_dirs: [{allowed}]}}",
    )
