"""Run code in a process of its own that kills itself before its Nth system call that changes a file system."""

from __future__ import annotations

import errno
import os
import signal
import traceback
from collections.abc import Callable
from types import SimpleNamespace

from hypersdkd.host import files

_CALLS = ("open", "fsync", "replace", "mkdir", "unlink", "rename", "link", "rmdir")


def killed(action: Callable[[], object], at: int, *, links: bool = False) -> bool:
    """Whether ``action``, in a child, was killed before its call number ``at`` (from 1); it may end before that.

    ``links``: as on a file system that cannot rename without replacing. fsync does nothing: a killed process
    loses nothing of what the kernel has.
    """
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            _arm(at, links)
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _pid, ended = os.waitpid(pid, 0)
    if os.WIFSIGNALED(ended):
        assert os.WTERMSIG(ended) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(ended) == 0, "the action raised"
    return False


def _arm(at: int, links: bool) -> None:
    left = at

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return run

    for name in _CALLS:
        setattr(os, name, counted((lambda _fd: None) if name == "fsync" else getattr(os, name)))
    real = files._libc.renameat2
    files._libc = SimpleNamespace(renameat2=_no_flag if links else counted(real))  # type: ignore[misc, assignment]


def _no_flag(*_arguments: object) -> int:
    files.ctypes.set_errno(errno.EINVAL)
    return -1
