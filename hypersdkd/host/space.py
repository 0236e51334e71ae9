"""Hold disk space for an output while it is written, so that guests that run at once never promise it twice.

The space is held by the blocks of a hidden file beside the output; whoever asks for space next finds it
taken, without any talk between the workers. The file shrinks as the output grows.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.model.problem import ProblemError, fail

#: Free bytes that are left to the writer while it runs ahead of our looks at it: half a second at 500 MB/s.
LEAD: Final = 256 << 20

_UNSUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Reservation:
    """``needed`` bytes of the file system of ``directory``, held until :meth:`release`.

    A leftover of the same ``name`` (a killed worker's) is replaced. Raises ``no-space`` and
    ``output-unwritable``. Where a file system cannot hold space (NFS) it is only looked at. When it is
    nearly full the last :data:`LEAD` bytes are left to our own writer, and that much may be promised twice.
    """

    def __init__(self, directory: OutputDirectory, name: str, needed: int) -> None:
        self._directory = directory
        self._path = directory.at(f".{name}.reserve")
        self._needed = needed
        self._held = 0
        try:
            self._path.unlink(missing_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(directory, error) from error
        try:
            self._hold()
        except BaseException:
            self.release()
            raise

    @property
    def held(self) -> int:
        """Bytes that are held now; 0 where the file system cannot hold any."""
        return self._held

    def written(self, size: int) -> None:
        """The output has grown to ``size`` bytes on disk: hold only the rest. Call it often."""
        if not self._held:
            return
        spare = self._held + self._directory.free_bytes() - LEAD
        rest = max(0, min(self._needed - size, spare))
        if rest < self._held:
            os.ftruncate(self._fd, rest)
            self._held = rest

    def release(self) -> None:
        """Give back what is left. Safe to call twice."""
        if self._fd >= 0:
            self._directory.remove(self._path.name)
            os.close(self._fd)
            self._fd = -1
            self._held = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _hold(self) -> None:
        if self._needed <= 0:
            return
        error = _fallocate(self._fd, self._needed)
        free = self._directory.free_bytes()
        if error in _FULL or (error in _UNSUPPORTED and free < self._needed):
            os.ftruncate(self._fd, 0)
            free = self._directory.free_bytes()
            raise fail(
                "no-space",
                f"{self._directory.path} has {free} bytes free, but up to {self._needed} are needed",
                remedy=f"Free {max(self._needed - free, 1)} bytes there (or raise the quota), then retry the job.",
            )
        if error not in _UNSUPPORTED and error:
            raise _unwritable(self._directory, OSError(error, os.strerror(error)))
        self._held = 0 if error else self._needed
        self.written(0)


def _unwritable(directory: OutputDirectory, error: OSError) -> ProblemError:
    if error.errno in _FULL:
        return fail("no-space", f"{directory.path} has no space left for another file")
    return fail("output-unwritable", f"{directory.path} cannot be written: {error.strerror}")


def _fallocate(fd: int, length: int) -> int:
    """0, or the error's number. ``os.posix_fallocate`` is not used: without support it writes every block."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate64.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    while libc.fallocate64(fd, 0, 0, length) != 0:
        error = ctypes.get_errno()
        if error != errno.EINTR:
            return error
    return 0
