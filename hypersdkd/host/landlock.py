"""Confine a child, or this process, to the few files it needs: Landlock, in Linux since 5.13, needs no privilege.

An image is parsed by a program that can be told by the image to open other files. We judge images first, but
whatever slips through the judgement still reaches nothing but what is named here. Rules stack: a confined process
confines its children further, and nothing gives back what was given up.
Constants and structures: linux/landlock.h; numbers of system calls: asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.model.problem import Problem

#: What every program needs: itself, libraries, and where the linker finds them. Read and executed only.
_SYSTEM: Final = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload")

#: What qemu and its libraries look at besides: random numbers, the number of processors and of memory nodes.
_FACTS: Final = ("/dev/urandom", "/proc/stat", "/sys/devices/system")

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_EXECUTE: Final = 1 << 0
_WRITE: Final = 1 << 1
_READ: Final = 1 << 2
_READ_DIRECTORY: Final = 1 << 3
_REMOVE_DIRECTORY: Final = 1 << 4
_MAKE_DEVICE: Final = 1 << 6 | 1 << 11
_TRUNCATE: Final = 1 << 14
_DRIVE: Final = 1 << 15
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DRIVE
#: Rights over files that each version knows: of the first 13; then also to move, truncate, and drive devices.
_FILE_RIGHTS: Final = (0, 0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
_TCP_FROM: Final = 4
_TCP: Final = 0b11
#: The first version that keeps signals and abstract sockets from those who are not confined by the same rules.
SCOPES_FROM: Final = 6
_SCOPES: Final = 0b11

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Confinement:
    """What can be reached. Each place is an open file, or a path; a directory stands for all that is below it.

    ``read`` can be read, ``write`` also written, ``run`` read, listed and executed. In ``own`` anything can be made,
    changed and removed, but for devices, and nothing executed. In ``prune`` empty directories can be removed. A path
    that is not there is left out.
    """

    read: tuple[int | str, ...] = ()
    write: tuple[int | str, ...] = ()
    run: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    prune: tuple[str, ...] = ()


def version() -> int:
    """Which Landlock we may use; 0 for none, of which :func:`absence` says why."""
    return max(0, _ask_version()[0])


def absence() -> str:
    """Why there is no Landlock, where :func:`version` is 0; the kernel's documentation has the first two answers."""
    code = _ask_version()[1]
    if code == errno.ENOSYS:
        return "this kernel has no Landlock, or a container hides it"
    if code == errno.EOPNOTSUPP:
        return "this kernel was started without Landlock (lsm=)"
    return f"Landlock is refused here, as by a container's seccomp filter: {os.strerror(code)}"


def _ask_version() -> tuple[int, int]:
    """The version, or -1, and the error's number."""
    answer = int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_ASK_VERSION)))
    return answer, ctypes.get_errno() if answer < 0 else 0


def confine_self(confinement: Confinement) -> None:
    """Confine this thread, and all that it starts from now on, for good. Raises ``OSError``.

    Call it while there are no other threads: they are not confined. Where :func:`version` is 0 nothing happens.
    """
    abi = version()
    if not abi:
        return
    ruleset = _ruleset(abi, confinement)
    try:
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs is refused")
        _call(_RESTRICT_SELF, ruleset, ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def obstacle(program: str) -> Problem | None:
    """Why ``program`` would run unconfined, as a warning; ``None`` if it would not."""
    if not version():
        reason = absence()
    elif not _is_of_the_system(program):
        reason = f"{shutil.which(program)} is not below /usr, so what it needs is not known"
    else:
        return None
    return Problem("tool-unconfined", f"{program} can open any file that the daemon can: {reason}")


def _is_of_the_system(program: str) -> bool:
    found = shutil.which(program)
    return found is None or Path(os.path.realpath(found)).is_relative_to("/usr")


@contextmanager
def confining(program: str, confinement: Confinement | None) -> Iterator[Callable[[], None]]:
    """What the child has to call before it becomes ``program``: nothing where :func:`obstacle` finds one.

    After the fork it makes two system calls and allocates nothing. Raises ``OSError``.
    """
    abi = version()
    if confinement is None or not abi or not _is_of_the_system(program):
        yield lambda: None
        return
    ruleset = _ruleset(abi, confinement)

    def restrict() -> None:
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.syscall(_RESTRICT_SELF, ruleset, 0):
            os._exit(126)  # rather nothing than unconfined

    try:
        yield restrict
    finally:
        os.close(ruleset)


def _ruleset(abi: int, confinement: Confinement) -> int:
    """The descriptor of the rules."""
    known = _FILE_RIGHTS[min(abi, len(_FILE_RIGHTS) - 1)]
    parts = (known, *((_TCP,) if abi >= _TCP_FROM else ()), *((_SCOPES,) if abi >= SCOPES_FROM else ()))
    attribute = struct.pack(f"={len(parts)}Q", *parts)
    ruleset = _call(_CREATE_RULESET, attribute, ctypes.c_size_t(len(attribute)), ctypes.c_uint(0))
    try:
        _allow(ruleset, (*_SYSTEM, *confinement.run), _READ | _EXECUTE | _READ_DIRECTORY)
        _allow(ruleset, _FACTS, _READ | _READ_DIRECTORY)
        _allow(ruleset, confinement.read, _READ)
        # qemu tries its locks on /dev/null
        _allow(ruleset, ("/dev/null", *confinement.write), (_READ | _WRITE | _TRUNCATE | _DRIVE) & known)
        _allow(ruleset, confinement.own, known & ~(_EXECUTE | _MAKE_DEVICE | _DRIVE))
        _allow(ruleset, confinement.prune, _REMOVE_DIRECTORY)
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def _allow(ruleset: int, places: Sequence[int | str], rights: int) -> None:
    for place in places:
        if isinstance(place, int):
            _add(ruleset, place, rights)
            continue
        try:
            fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # nothing is there, or nothing for us
        try:
            _add(ruleset, fd, rights)
        finally:
            os.close(fd)


def _add(ruleset: int, fd: int, rights: int) -> None:
    suitable = rights if stat.S_ISDIR(os.fstat(fd).st_mode) else rights & _OF_FILES
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", suitable, fd), ctypes.c_uint(0))


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
