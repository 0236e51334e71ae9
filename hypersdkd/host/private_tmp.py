"""An empty ``/tmp`` for this process alone, for root, whose libguestfs insists on ``/tmp`` for its sockets.

Needs ``CAP_SYS_ADMIN``. Constants: linux/sched.h, linux/mount.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NEW_NAMESPACE: Final = 0x00020000
_READ_ONLY: Final = 1
_REMOUNT: Final = 32
_BIND: Final = 4096
_RECURSIVE: Final = 16384
_SLAVE: Final = 1 << 19

_TMP: Final = Path("/tmp")  # noqa: S108

_libc: Final = ctypes.CDLL(None, use_errno=True)


def hide_tmp(read: Sequence[str], write: Sequence[str]) -> bool:
    """Put an empty file system in place of ``/tmp`` for this process and what it starts, for good.

    Those of the places ``read`` and ``write`` that lie below it are still there; the former cannot be written to.
    False, and nothing done, where it is not allowed, or where ``/tmp`` itself is one of the places. Raises ``OSError``
    where it goes wrong half way.
    """
    writable = _below_tmp(write)
    kept = {**dict.fromkeys(_below_tmp(read), False), **dict.fromkeys(writable, True)}
    if _TMP in kept:
        return False
    if _libc.unshare(_NEW_NAMESPACE):
        return False
    _mount("none", Path("/"), _RECURSIVE | _SLAVE)
    places = {place: os.open(place, os.O_PATH | os.O_CLOEXEC) for place in sorted(kept) if place.exists()}
    try:
        _mount("tmpfs", _TMP, 0, kind="tmpfs")
        for place, fd in places.items():
            if not os.path.lexists(place):  # else it lies in one that is there again
                _stand_in(place, is_directory=Path(f"/proc/self/fd/{fd}").is_dir())
            _mount(f"/proc/self/fd/{fd}", place, _BIND)
            if not kept[place]:
                _mount("none", place, _BIND | _REMOUNT | _READ_ONLY)
    finally:
        for fd in places.values():
            os.close(fd)
    with contextlib.suppress(OSError):
        os.chdir(Path.cwd())  # what was below /tmp is reached by its new way
    return True


def _below_tmp(places: Sequence[str]) -> list[Path]:
    real = (Path(os.path.realpath(place)) for place in places)
    return [place for place in real if place.is_relative_to(_TMP)]


def _stand_in(place: Path, *, is_directory: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if is_directory:
        place.mkdir()
    else:
        place.touch()


def _mount(source: str, target: Path, flags: int, kind: str = "none") -> None:
    if _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))
