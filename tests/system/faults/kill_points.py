"""SIGKILL to this very process at its Nth durable step: before it, or after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

#: The calls that change what a crash leaves behind. ``renameat2`` is :mod:`hypersdkd.host.files`' own.
CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "link")


def arm(point: int) -> None:
    """Die at step ``point``: an even number before the call ``point // 2``, an odd one after it."""
    from hypersdkd.host import files

    count = 0

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            number, count = count, count + 1
            if point == number * 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **named)
            if point == number * 2 + 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for name in CALLS:
        setattr(os, name, wrap(getattr(os, name)))
    files._rename_noreplace = wrap(files._rename_noreplace)
