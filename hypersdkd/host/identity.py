"""Being another user for a moment, as root can."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def service_user(paths: Iterable[Path]) -> int:
    """Whose rights count where secrets at ``paths`` are judged: our own, or those of the first other user to whom one
    of them belongs where root asks, since a service that is not root has its secrets by that."""
    ours = os.geteuid()
    for path in paths if ours == 0 else ():
        with suppress(OSError):  # whoever reads it says what is wrong with it
            owner = path.stat().st_uid
            if owner != ours:
                return owner
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
