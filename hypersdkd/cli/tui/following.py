"""Follows the daemon in a thread: by live events, by asking where it has none, and on and on while it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hypersdkd.cli.live_view import NO_LIVE_EVENTS, LiveView, look
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import Problem, ProblemError

#: Seconds between two looks, and between two attempts to reach a daemon that is away.
INTERVAL: Final = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one look. ``connection`` is ``live``, ``asking`` or ``away``, and then ``problem`` says why.

    ``reply`` is the status reply with the running jobs in ``jobs``, empty while the daemon is away.
    """

    connection: str
    reply: Reply = field(default_factory=dict)
    problem: Problem | None = None


class Following:
    """A thread that calls ``tell`` with each look until it is closed."""

    def __init__(self, daemon: Daemon, tell: Callable[[Look], None]) -> None:
        self._daemon = daemon
        self._tell = tell
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="following")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a thread that waits for a daemon which says nothing is left to itself."""
        self._closed.set()
        self._thread.join(2 * INTERVAL)

    def _run(self) -> None:
        view: LiveView | None = LiveView(self._daemon)
        while not self._closed.is_set():
            try:
                if view is not None:
                    self._follow(view)
            except ProblemError as error:
                if error.problem.code in NO_LIVE_EVENTS:
                    view = None
            if not self._closed.is_set():
                self._tell(self._asked())
            self._closed.wait(INTERVAL)

    def _follow(self, view: LiveView) -> None:
        for reply in view.looks(INTERVAL):
            if self._closed.is_set():
                return
            self._tell(Look("live", reply))

    def _asked(self) -> Look:
        try:
            return Look("asking", look(self._daemon))
        except ProblemError as error:
            return Look("away", problem=error.problem)
