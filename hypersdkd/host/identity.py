"""Being another user for a moment, as root can."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: The user that the shipped units run as.
SERVICE_USER: Final = "hypersdkd"


def service_user(secrets: Iterable[Path], queue: Path) -> int:
    """Whose rights count where files are judged for a service: our own, unless root asks.

    Then those of the first other user to whom one of its ``secrets`` belongs, or else ``queue``, the directory that it
    makes for itself; where that is not there yet, those of :data:`SERVICE_USER`, if there is one.
    """
    ours = os.geteuid()
    for path in (*secrets, queue) if ours == 0 else ():
        with suppress(OSError):  # whoever reads it says what is wrong with it
            owner = path.stat().st_uid
            if owner != ours:
                return owner
    if ours == 0 and not queue.exists():
        with suppress(KeyError):
            return pwd.getpwnam(SERVICE_USER).pw_uid
    return ours


def name_of(user: int) -> str:
    """The user's name, or the number of one who has none."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """Open files with the rights of ``user`` and of its groups, in all threads. Only root can become another."""
    if user == os.geteuid():
        yield
        return
    try:
        entry = pwd.getpwuid(user)
        group, groups = entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)
    except KeyError:
        group, groups = user, [user]
    before = os.getegid(), os.getgroups()
    os.setgroups(groups)
    os.setegid(group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[0])
        os.setgroups(before[1])
