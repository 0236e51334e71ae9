"""Files that hold secrets: read only where nobody else could have read or written them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: How a path begins that lies among what systemd's ``LoadCredential=`` gives a service, systemd.exec(5).
CREDENTIALS: Final = "$CREDENTIALS_DIRECTORY"


def is_credential(path: Path) -> bool:
    """Whether ``path`` begins with :data:`CREDENTIALS`."""
    return path.parts[:1] == (CREDENTIALS,)


def expand(path: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """``path`` with the directory of the service's credentials put in; ``FileNotFoundError`` where there is none."""
    if not is_credential(path):
        return path
    directory = environment.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise FileNotFoundError(errno.ENOENT, "there are no credentials: the unit has no LoadCredential=", str(path))
    return Path(directory, *path.parts[1:])


def read_secret(path: Path, limit: int, *, forbidden: int = 0o077) -> bytes:
    """The first ``limit`` bytes of a file that belongs to us or root and has none of the ``forbidden`` mode bits.

    A link is followed: it is the file itself that is judged. For a credential systemd answers, which lets the
    service's user in by an ACL, so that it seems to have a group. Raises ``OSError`` and ``PermissionError``, whose
    ``strerror`` say what is wrong, never with anything of the content.
    """
    if credential := is_credential(path):
        path, forbidden = expand(path), forbidden & ~0o040
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        if not credential:
            raise
        reason = f"the unit got no such credential; put it into /etc/credstore as {path.name}, then restart the service"
        raise FileNotFoundError(errno.ENOENT, reason, str(path)) from None
    try:
        _judge(path, os.fstat(fd), forbidden)
    except OSError:
        os.close(fd)
        raise
    with os.fdopen(fd, "rb") as file:
        return file.read(limit)


def write_secret(path: Path, content: bytes) -> None:
    """A new file that only we can read; ``FileExistsError`` where the name is taken."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def _judge(path: Path, found: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if found.st_uid not in {0, os.geteuid()}:
        reason = f"it belongs to user {found.st_uid}, neither root nor the one who reads it"
        raise PermissionError(errno.EPERM, reason, str(path))
    if found.st_mode & forbidden:
        wanted = 0o600 | (0o640 & ~forbidden)
        reason = f"others could use it (mode {stat.S_IMODE(found.st_mode):04o}); run: chmod {wanted:o} {path}"
        raise PermissionError(errno.EPERM, reason, str(path))
