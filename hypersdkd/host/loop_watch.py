"""Watches the event loop from a thread beside it: a loop that is stuck can say nothing itself."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

#: Seconds between two looks, at most.
_LOOK: Final = 1.0


class LoopWatch:
    """Made in the loop's thread, where :meth:`beat` has to be called again and again.

    ``tell`` is called in the watch's own thread while there was no beat for ``limit`` seconds, at each look: with one
    line that says where the loop is, and once, the first time, with the whole stack as well.
    """

    def __init__(self, limit: float, tell: Callable[[str, str], None]) -> None:
        self._limit = limit
        self._tell = tell
        self._thread_id = threading.get_ident()
        self._last = time.monotonic()
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._look_out, name="loop watch", daemon=True)
        self._watch.start()

    def beat(self) -> None:
        """The loop comes around."""
        self._last = time.monotonic()

    def close(self) -> None:
        """End the watch; ``tell`` is not called any more when this returns."""
        self._closed.set()
        self._watch.join()

    def _look_out(self) -> None:
        told = 0.0
        while not self._closed.wait(min(_LOOK, self._limit / 4)):
            last = self._last
            still = time.monotonic() - last
            frame = sys._current_frames().get(self._thread_id)
            if still < self._limit or frame is None:
                continue
            line = f"the daemon's loop has been stuck for {still:.0f} s in {place_of(frame)}"
            self._tell(line, "" if told == last else "".join(traceback.format_stack(frame)))
            told = last


def place_of(frame: FrameType) -> str:
    """Where a thread is, in a few words: ``claims.py:88, write``."""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}, {frame.f_code.co_name}"


def place_of_thread(prefix: str, idle_in: str) -> str:
    """Where the first thread is whose name begins with ``prefix``, unless that is in the file ``idle_in``, where it
    waits for work; else empty."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread.name.startswith(prefix) and frame is not None and frame.f_code.co_filename != idle_in:
            return place_of(frame)
    return ""
