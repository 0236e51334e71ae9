"""Open a source: inside the allowed directories, a regular file, nobody writing to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypersdkd.host.files import has_writer, open_regular
from hypersdkd.model.disk import SourceDisk
from hypersdkd.model.problem import ProblemError, fail


def fingerprint(fd: int) -> tuple[int, ...]:
    """What changes when a file is written to: see :class:`hypersdkd.model.disk.SourceDisk`."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@contextmanager
def judged(disk: SourceDisk) -> Iterator[int]:
    """Open a disk that was judged before, and make sure that it is still what was judged, before and after.

    Raises ``source-changed`` (also when it has vanished).
    """
    changed = fail("source-changed", f"{disk.path.name} is not what it was when it was loaded")
    try:
        fd = open_regular(disk.path)
    except OSError as error:
        raise changed from error
    try:
        if fingerprint(fd) != disk.fingerprint:
            raise changed
        try:
            yield fd
        finally:  # a change is the cause of whatever went wrong meanwhile
            if fingerprint(fd) != disk.fingerprint:
                raise fail("source-changed", f"{disk.path.name} changed while it was read")
    finally:
        os.close(fd)


def open_source(path: str, roots: Sequence[Path]) -> tuple[Path, int]:
    """The resolved path and a read-only descriptor (the caller closes it).

    Links are followed as long as they stay below ``roots``, which must be resolved. Raises
    ``source-missing -outside -not-regular -unreadable -busy -changed``.
    """
    shown = Path(path).name or path
    resolved = _resolve(path, shown)
    if not any(resolved.is_relative_to(root) for root in roots):
        raise _outside(resolved, roots)
    try:
        fd = open_regular(resolved)
    except OSError as error:
        raise _unopened(error, shown) from error
    try:
        if Path(f"/proc/self/fd/{fd}").readlink() != resolved:
            raise fail("source-changed", f"{shown} was moved while it was opened")
        if has_writer(fd):
            raise fail("source-busy", f"another process has {shown} open for writing")
    except BaseException:
        os.close(fd)
        raise
    return resolved, fd


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
    return fail("source-missing", f"{shown} cannot be opened: {os.strerror(error.errno or 0)}")


def _outside(resolved: Path, roots: Sequence[Path]) -> ProblemError:
    allowed = ", ".join(map(str, (*roots, resolved.parent)))
    return fail(
        "source-outside",
        f"{resolved} is outside the directories that sources may come from",
        remedy=f"Move it below the queue, or set in the configuration: workflow: {{source_dirs: [{allowed}]}}",
    )
