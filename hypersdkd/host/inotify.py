"""inotify in an asyncio loop: callbacks by watched directory, and one for a queue that overflowed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inotify_simple import INotify, flags

#: What changes the set of ready files: created (hard links), closed, moved, deleted, permissions.
DIRECTORY_CHANGES: Final = (
    flags.CREATE | flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.ATTRIB | flags.ONLYDIR
)

#: What a growing file says.
FILE_GROWTH: Final = flags.MODIFY

Callback = Callable[[str, bool], None]
"""Called with the entry's name ("" for the directory itself) and whether it was moved in whole."""


class Inotify:
    """One inotify descriptor. Create it in a running loop; :meth:`close` it in the same loop."""

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        self._inotify = INotify(nonblocking=True)
        self._callbacks: dict[int, Callback] = {}
        self._on_overflow = on_overflow
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inotify.fileno(), self._read)

    def watch(self, path: Path, mask: int, callback: Callback) -> int:
        """Watch ``path``; returns a number for :meth:`unwatch`. Raises ``OSError`` (``ENOSPC``: no watches left)."""
        number: int = self._inotify.add_watch(os.fsencode(path), mask)
        self._callbacks[number] = callback
        return number

    def unwatch(self, number: int) -> None:
        """Stop a watch; one that is gone already is fine."""
        if self._callbacks.pop(number, None) is not None:
            try:
                self._inotify.rm_watch(number)
            except OSError:
                return  # its directory was removed, and the watch with it

    def close(self) -> None:
        """Stop all watches."""
        self._loop.remove_reader(self._inotify.fileno())
        self._callbacks.clear()
        self._inotify.close()

    def _read(self) -> None:
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                self._on_overflow()
                continue
            callback = self._callbacks.get(event.wd)
            if event.mask & flags.IGNORED:
                self._callbacks.pop(event.wd, None)
            elif callback is not None:
                callback(event.name, bool(event.mask & flags.MOVED_TO))
