"""Processes by their session: a worker is a session leader, so all that it starts can be found and ended.

A process ID is reused; a :class:`ProcessStamp` (ID, start time, boot) is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypersdkd.host.cgroup import cgroup_of
from hypersdkd.host.files import write_replacing

_PROC: Final = Path("/proc")

#: Fields of /proc/PID/stat after the command, proc(5): state is field 3, session 6, starttime 22.
_STATE, _SESSION, _START = 0, 3, 19

#: Seconds between two looks at a session that is being ended; libguestfs's QEMU takes 2 to 3 seconds.
_LOOK_AGAIN: Final = 0.02

#: Seconds after each look at an environment that is empty. Loading a program takes some ms, on a busy host more.
_EXEC_PAUSES: Final = (0.01, 0.05, 0.2)


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class ProcessStamp:
    """One process, never to be mistaken for another. ``start`` is in clock ticks since boot; ``cgroup`` is where it
    was when it was asked."""

    pid: int
    start: int
    boot: str
    cgroup: str = field(default="", compare=False)

    @classmethod
    def of(cls, pid: int) -> ProcessStamp | None:
        """The stamp of a living process; ``None`` if there is none (a zombie counts as none)."""
        fields = _stat(pid)
        if fields is None or fields[_STATE] == "Z":
            return None
        return cls(pid, int(fields[_START]), boot_id(), cgroup_of(pid))

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return ProcessStamp.of(self.pid) == self

    def as_dict(self) -> dict[str, object]:
        """JSON shape."""
        return {"pid": self.pid, "start": self.start, "boot": self.boot, "cgroup": self.cgroup}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> ProcessStamp:
        """Read :meth:`as_dict` back. Raises ``KeyError`` or ``ValueError``."""
        return cls(int(str(data["pid"])), int(str(data["start"])), str(data["boot"]), str(data.get("cgroup", "")))


def write_stamp(path: Path, stamp: ProcessStamp | None = None) -> None:
    """Record who a process is: this one, unless another's stamp is given."""
    stamp = stamp or ProcessStamp.of(os.getpid())
    if stamp is not None:
        write_replacing(path, json.dumps(stamp.as_dict()).encode("ascii"))


def read_stamp(path: Path) -> ProcessStamp | None:
    """Who :func:`write_stamp` was called by; ``None`` when there is no such record."""
    try:
        values = json.loads(path.read_bytes())
        return ProcessStamp.from_dict(values) if isinstance(values, Mapping) else None
    except (OSError, ValueError, KeyError):
        return None


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(b")") + 2 :].decode("ascii").split()


def members(leader: ProcessStamp, marker: str) -> list[int]:
    """The living processes of ``leader``'s session, itself included.

    ``marker`` (``NAME=value`` of the environment) guards against a session number that was used again:
    a process whose readable environment lacks it is none of ours.
    """
    if leader.boot != boot_id():
        return []
    found = []
    for entry in os.listdir(_PROC):  # noqa: PTH208 - names are all that is needed, of thousands
        if not entry.isdigit():
            continue
        fields = _stat(int(entry))
        if fields is None or fields[_STATE] == "Z" or int(fields[_SESSION]) != leader.pid:
            continue
        if int(fields[_START]) >= leader.start and _may_carry(int(entry), marker):
            found.append(int(entry))
    return found


def _may_carry(pid: int, marker: str) -> bool:
    """Whether its environment has the marker, or stays empty: for a moment in execve(2) each is."""
    for pause in _EXEC_PAUSES:
        try:
            environ = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            return True
        if environ:
            return os.fsencode(marker) in environ.split(b"\0")
        time.sleep(pause)
        fields = _stat(pid)
        if fields is None or fields[_STATE] == "Z":
            return False  # it was just ending
    return True


async def end_session(leader: ProcessStamp, marker: str) -> None:
    """Kill every process of the session and return when none is left. The loop is never blocked."""
    while pids := await asyncio.to_thread(members, leader, marker):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(_LOOK_AGAIN)


async def ended(pid: int) -> None:
    """Return when process ``pid`` has ended (it may stay a zombie until its parent looks)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(fd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
