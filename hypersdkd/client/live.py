"""A daemon's live changes, read in a thread: whoever waits for one can also wait for a time, or be interrupted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from hypersdkd.client.http import Daemon
from hypersdkd.model.change import Change
from hypersdkd.model.problem import ProblemError, fail

#: Changes that are read ahead. Beyond that the daemon has to wait; when that takes long it cuts the reader off.
_READ_AHEAD: Final = 1000

#: Seconds that the reading thread gets to end; one that is still connecting is left to itself.
_GRACE: Final = 1.0


class LiveChanges:
    """One connection's changes after ``last_id``; a context manager."""

    def __init__(self, daemon: Daemon, last_id: str = "") -> None:
        self._daemon = daemon
        self._last_id = last_id
        self._read: queue.Queue[Change | ProblemError] = queue.Queue(_READ_AHEAD)
        self._hang_up: Callable[[], None] = lambda: None
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="live-changes")

    def next(self, seconds: float) -> Change | None:
        """The next change; ``None`` when none has come for so long.

        Raises the ``ProblemError`` that the connection ended with: ``daemon-unreachable`` also for an orderly end.
        """
        try:
            found = self._read.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if isinstance(found, ProblemError):
            raise found
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._hang_up()
        with suppress(queue.Empty):  # room for one that waits to be put
            while True:
                self._read.get_nowait()
        self._thread.join(_GRACE)

    def _opened(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        if self._closed:
            hang_up()

    def _run(self) -> None:
        end = fail("daemon-unreachable", f"The daemon at {self._daemon.address} has ended the connection")
        try:
            for change_id, kind, data in self._daemon.live_events(self._last_id, self._opened):
                self._read.put(Change(change_id, kind, data))
                if self._closed:
                    return
        except ProblemError as error:
            end = error
        self._read.put(end)
