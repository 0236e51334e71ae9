"""Confine this process for good: to some files by Landlock, and without sockets by seccomp."""

from __future__ import annotations

from hypersdkd.host import landlock, sockets
from hypersdkd.host.landlock import Confinement


def confine_self(confinement: Confinement, *, local_sockets: bool = False) -> None:
    """Confine this thread and all that it starts, as far as the kernel can. Raises ``OSError``.

    Call it while there are no other threads: they stay as they are. ``local_sockets`` leaves it those by which
    programs of one host talk, which includes whoever listens on one that this user may write to.
    """
    landlock.confine_self(confinement)
    sockets.refuse_sockets(but_local=local_sockets)


def shortcoming() -> str:
    """What a process that has confined itself can do all the same, for want of a better kernel; empty for nothing."""
    version, can = landlock.version(), []
    if not version:
        can.append("open any file that the daemon can")
    if version < landlock.SCOPES_FROM:
        can.append("send signals to the daemon")
    if not sockets.can_refuse():
        can.append("connect to other hosts")
    has = f"this kernel's Landlock has version {version}" if version else "this kernel has no Landlock"
    return f"{' and '.join(can)}: {has}" if can else ""
