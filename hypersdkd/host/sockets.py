"""Take sockets away from this process for good, by a seccomp filter: what converts disks has nobody to talk to.

Landlock, which does the same for files, knows TCP alone, and not every kernel's does.
Constants: linux/seccomp.h, linux/filter.h, linux/audit.h; numbers of system calls: asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final

_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_MODE_FILTER: Final = 2
_AF_UNIX: Final = 1

#: Where the parts of a system call are in what a filter is given.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EACCES

#: Numbers from here on are those of x86's x32, another table.
_FOREIGN_NUMBERS: Final = 0x40000000

#: Makes sockets too, where no filter sees it; the same number everywhere. Programs do without.
_IO_URING_SETUP: Final = 425

#: By ``uname -m``: the architecture's mark and the number of socket(2).
_MACHINES: Final = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}

_libc: Final = ctypes.CDLL(None, use_errno=True)


def can_refuse() -> bool:
    """Whether :func:`refuse_sockets` does anything here."""
    return platform.machine() in _MACHINES and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def refuse_sockets(*, but_local: bool = False) -> None:
    """From now on this thread, and all that it starts, can make no sockets, or only unix ones. Raises ``OSError``.

    Pairs of connected sockets can still be made. Where :func:`can_refuse` says no, nothing happens.
    """
    if not can_refuse():
        return
    program = _program(*_MACHINES[platform.machine()], but_local=but_local)
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@H0PP", len(program) // 8, ctypes.addressof(steps))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def _program(architecture: int, socket_number: int, *, but_local: bool) -> bytes:
    """The filter. A step is: what to do, how many steps to leave out if a comparison holds and if not, with what."""
    steps = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 1, 0, _FOREIGN_NUMBERS),
        (_IF_EQUAL, 0, 1, _IO_URING_SETUP),
        (_RETURN, 0, 0, _REFUSE),
        (_IF_EQUAL, 1, 0, socket_number),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_EQUAL, 1, 0, _AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW if but_local else _REFUSE),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
