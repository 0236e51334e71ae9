"""Durable files: everything that must survive a power cut goes through here.

Names may be any bytes: they travel as ``str`` with surrogate escapes, as :mod:`os` gives them.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

#: ``RENAME_NOREPLACE`` of renameat2(2), linux/fs.h.
_RENAME_NOREPLACE: Final = 1

#: ``AT_FDCWD`` of openat(2), linux/fcntl.h.
_AT_FDCWD: Final = -100

_libc: Final = ctypes.CDLL(None, use_errno=True)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename_new(source: Path, target: Path) -> None:
    """Rename, durably, and never over an existing name.

    Raises ``FileExistsError`` when ``target`` exists and ``FileNotFoundError`` when ``source`` does not.
    """
    _rename_noreplace(source, target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def rename_into(source: Path, target: Path) -> None:
    """Rename, durably, to a name that only we can use, so that there is nothing to replace.

    Unlike :func:`rename_new` it needs nothing of a file system but rename, nor the file's ownership.
    """
    source.rename(target)
    sync_directory(target.parent)
    sync_directory(source.parent)


def rename_together(source: Path, target: Path, names: Iterable[str]) -> list[str]:
    """Rename files of the directory ``source`` into the directory ``target``, and make all of it durable at once.

    No name is replaced: those that ``target`` has already are returned. One that ``source`` has not is passed over.
    """
    left = []
    for name in names:
        try:
            _rename_noreplace(source / name, target / name)
        except FileNotFoundError:
            pass
        except FileExistsError:
            left.append(name)
    sync_directory(target)
    sync_directory(source)
    return left


def _rename_noreplace(source: Path, target: Path) -> None:
    if b"\0" in os.fsencode(source) + os.fsencode(target):
        # C would end the name there and rename to another one.
        raise ValueError("embedded null byte")
    done = _libc.renameat2(
        _AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), ctypes.c_uint(_RENAME_NOREPLACE)
    )
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    # File systems without the flag (NFS, some FUSE): a hard link is as atomic and as unwilling to replace.
    # A directory cannot be linked; none is ever moved here.
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        # A kill between the two calls left one file under both names; all else is really taken.
        if not os.path.samestat(source.lstat(), target.lstat()):
            raise
    source.unlink()


def write_new(scratch: Path, target: Path, content: bytes, mode: int = 0o644) -> None:
    """Make ``content`` appear as ``target`` at once, whole and durable; ``FileExistsError`` if it exists.

    ``scratch`` is a directory on the same file system; a crash may leave a file there, never in ``target``'s.
    """
    draft = _write_draft(scratch, content, mode)
    try:
        rename_new(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_replacing(target: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace our own ``target`` with ``content`` at once and durably. Only for files that we alone write."""
    draft = _write_draft(target.parent, content, mode)
    try:
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def _write_draft(directory: Path, content: bytes, mode: int) -> Path:
    draft = directory / f".draft-{os.getpid()}-{os.urandom(8).hex()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft


def open_regular(path: Path) -> int:
    """Open a regular file for reading; the descriptor is the caller's to close.

    Neither follows a symlink nor waits for a FIFO's writer. Raises ``OSError``; ``EINVAL`` when the file is
    not a regular one, ``ELOOP`` when it is a symlink.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_regular(path: Path, limit: int) -> bytes:
    """The first ``limit`` bytes of a regular file, opened as :func:`open_regular` does."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(limit)


def has_writer(fd: int) -> bool | None:
    """Whether any process has the file of ``fd`` open for writing; ``None`` where that cannot be known.

    Asks for a read lease, which the kernel grants only when there is no writer. It needs the file's owner
    or ``CAP_LEASE``, and a file system with leases.
    """
    # Whoever opens the file for writing while the lease is held makes the kernel send a signal: SIGIO,
    # which ends a process, unless another is named. SIGURG does nothing by default.
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def try_lock(path: Path) -> int | None:
    """Take an exclusive lock on ``path`` (created if missing) for as long as the descriptor is open.

    ``None`` when another holds it. The descriptor is not inherited by child processes.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock of :func:`try_lock` on ``path``."""
    if not path.exists():
        return False
    fd = try_lock(path)
    if fd is None:
        return True
    os.close(fd)
    return False


def remove_tree(directory: Path) -> None:
    """Remove ``directory`` and all below it; missing is fine. Symlinks are removed, never followed.

    However deep it is, as whoever filled it wished: what lies deeper is moved up, level by level.
    """
    while True:
        try:
            below = _clear(directory)
        except FileNotFoundError:
            return
        if not below:
            directory.rmdir()
            return
        for path in below:
            for deeper in _clear(path):
                deeper.rename(directory / f".{os.urandom(8).hex()}")
            path.rmdir()


def _clear(directory: Path) -> list[Path]:
    """Remove what is no directory; the directories that are left."""
    with os.scandir(directory) as entries:
        found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for path, is_directory in found:
        if not is_directory:
            path.unlink(missing_ok=True)
    return [path for path, is_directory in found if is_directory]
