"""Control groups: in which one a process is, and whether one is still there. systemd removes a unit's when all of it
has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Where cgroup2 is mounted: alone, and beside the former hierarchy.
_ROOTS: Final = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


def cgroup_of(pid: int) -> str:
    """The process's group below the root of cgroup2, as ``/system.slice/x.service``; empty if that is not known."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")


def exists(cgroup: str) -> bool:
    """Whether there is such a group; false where cgroup2 is not mounted, for then nobody knows."""
    below = cgroup.strip("/")
    return bool(below) and any((root / "cgroup.procs").exists() and (root / below).is_dir() for root in _ROOTS)


def cpu_time(cgroup: str) -> int | None:
    """Microseconds of processor time that all that was ever in the group has used; ``None`` if that is not known."""
    for root in _ROOTS:
        try:
            lines = (root / cgroup.strip("/") / "cpu.stat").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value)
    return None
