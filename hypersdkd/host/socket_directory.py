"""Where a process has its local sockets: their names must be short, however long the paths of its other files are."""

from __future__ import annotations

import atexit
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

#: ``sun_path`` of unix(7) has 108 bytes, of which the last is NUL.
_LONGEST: Final = 107

#: What libguestfs adds for the socket with the longest name.
_APPENDED: Final = len("/libguestfsXXXXXX/guestfsd.sock")


def socket_directory(work: Path) -> Path:
    """``work``, if its path is short enough for libguestfs; or an empty directory of this process alone.

    That one is made in the service's run-time directory, or in ``/tmp``, and removed when this process ends. Raises
    ``OSError``.
    """
    if len(os.fsencode(work)) + _APPENDED <= _LONGEST:
        return work
    base = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or "/tmp"  # noqa: S108
    made = Path(tempfile.mkdtemp(prefix="hypersdkd-", dir=base))
    atexit.register(_remove, made)
    return made


def _remove(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
