"""What one look at a directory of the queue finds. Everything here blocks, and keeps nothing."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from hypersdkd.engine.index import Ended
from hypersdkd.host.files import read_regular
from hypersdkd.model.job import SIDECAR_SUFFIXES

#: Bytes read of a sidecar to tell a cancelled job from a failed one.
_SIDECAR_BYTES: Final = 1 << 20

#: How a sidecar of ours says it; no text within a sidecar can look so, for newlines are escaped there.
_CANCELLED_LINE: Final = b'\n  "status": "cancelled",'


def is_record(name: str) -> bool:
    """Whether a name is that of a job's file: neither hidden nor a sidecar."""
    return not name.startswith(".") and not name.endswith(SIDECAR_SUFFIXES)


def mtime_of(directory: Path) -> int:
    """When the directory was last changed, in nanoseconds; 0 if it is not there."""
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def listing(directory: Path) -> set[str] | None:
    """The names in a directory; ``None`` if they cannot be known."""
    try:
        return set(os.listdir(directory))  # noqa: PTH208 - names are all that is needed, of up to 100,000
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError:
        return None


def mtimes_of(directory: Path, names: Iterable[str]) -> list[tuple[str, int | None]]:
    """The mtime of each file in nanoseconds; ``None`` for one that is gone or is none of a job."""
    found: list[tuple[str, int | None]] = []
    for name in names:
        row = _stat_file(directory / name)
        found.append((name, row if is_record(name) else None))
    return found


def _stat_file(path: Path) -> int | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else None


def missing_of(directory: Path, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are not in ``directory`` any more."""
    return [name for name in names if not os.path.lexists(directory / name)]


def ended_rows(
    directory: Path, known: Mapping[str, Ended | None], may_be_cancelled: bool
) -> list[tuple[str, Ended | None]]:
    """The row of each job; ``None`` for one that is gone. A record is read only for a file that is new or changed."""
    rows: list[tuple[str, Ended | None]] = []
    for name, before in known.items():
        mtime = _stat_file(directory / name)
        if mtime is None:
            rows.append((name, None))
        elif before is not None and before.mtime == mtime:
            rows.append((name, before))  # its sidecar was there before it, and is not read again
        else:
            cancelled = may_be_cancelled and _was_cancelled(directory / f"{name}.error.json")
            rows.append((name, Ended(mtime, cancelled)))
    return rows


def _was_cancelled(sidecar: Path) -> bool:
    try:
        content = read_regular(sidecar, _SIDECAR_BYTES)
        if len(content) == _SIDECAR_BYTES:  # a large batch's: what is asked stands near its beginning
            return _CANCELLED_LINE in content
        record = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("status") == "cancelled"
