"""Confine this process for good: to some files by Landlock, without sockets by seccomp, and root without its powers."""

from __future__ import annotations

from hypersdkd.host import landlock, sockets
from hypersdkd.host.capabilities import drop_capabilities
from hypersdkd.host.landlock import Confinement


def confine_self(confinement: Confinement, *, appliance: bool = False) -> None:
    """Confine this thread and all that it starts, as far as the kernel can. Raises ``OSError``.

    Call it while there are no other threads: they stay as they are. ``appliance`` leaves it what
    libguestfs needs: local sockets, by which it can talk to whoever listens on one that this user may write to, and, if
    this is root, to give files to others.
    """
    drop_capabilities(but_owners=appliance)
    landlock.confine_self(confinement)
    sockets.refuse_sockets(but_local=appliance)


def shortcoming() -> str:
    """What a process that has confined itself can do all the same, for want of a better kernel; empty for nothing."""
    version, can = landlock.version(), []
    if not version:
        can.append("open any file that the daemon can")
    if version < landlock.SCOPES_FROM:
        can.append("send signals to the daemon")
    if not sockets.can_refuse():
        can.append("connect to other hosts")
    has = f"this kernel's Landlock has version {version}" if version else landlock.absence()
    return f"{' and '.join(can)}: {has}" if can else ""
