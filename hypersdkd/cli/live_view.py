"""The queue and its running jobs as live events tell them; the daemon is asked only for what they do not tell."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from hypersdkd.cli.reply import rows, text
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.client.live import LiveChanges
from hypersdkd.model.change import Change
from hypersdkd.model.job import ENDED_STATES, JobState
from hypersdkd.model.problem import fail

#: Codes of a daemon that has no live events: an older one, or HyperSDK's own.
NO_LIVE_EVENTS: Final = frozenset({"not-found", "method-not-allowed"})


def look(daemon: Daemon) -> Reply:
    """What :meth:`LiveView.looks` yields, asked for: the status reply with the running jobs in ``jobs``."""
    return {**daemon.status(), "jobs": rows(daemon.active_jobs(), "jobs")}


class LiveView:
    """What is known of one daemon, across connections."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._last_id = ""
        self._status: Reply = {}
        self._jobs: dict[str, Mapping[str, object]] = {}
        self._known = False
        self._counts_changed = False
        self._ended: dict[str, str] = {}

    def looks(self, interval: float) -> Iterator[Reply]:
        """The status reply with the running jobs in ``jobs``: at once, and then every ``interval`` seconds.

        Nothing is asked while only progress is made; the counts are, once a look, after something changed them.
        Raises ``ProblemError`` when the connection ends; called again, it goes on where it was.
        """
        with LiveChanges(self._daemon, self._last_id) as changes:
            if not self._known:
                self._begin(changes)
            self._hear(changes, 0.0)
            while True:
                if self._counts_changed:
                    self._counts_changed = False
                    self._status = {**self._daemon.status()}
                yield {**self._status, "jobs": list(self._jobs.values())}
                self._hear(changes, interval)

    def ended(self) -> list[tuple[str, str]]:
        """The jobs that have ended since the last call, and how."""
        ended, self._ended = self._ended, {}
        return list(ended.items())

    def _begin(self, changes: LiveChanges) -> None:
        """Wait for the ``reset`` that every daemon says first to one who has heard nothing yet."""
        while not self._known:
            change = changes.next(self._daemon.timeout)
            if change is None:
                raise fail("daemon-unreachable", f"The daemon at {self._daemon.address} says nothing")
            self._take(change)

    def _hear(self, changes: LiveChanges, seconds: float) -> None:
        """Take what comes within ``seconds``."""
        until = time.monotonic() + seconds
        while (change := changes.next(until - time.monotonic())) is not None:
            self._take(change)

    def _take(self, change: Change) -> None:
        data = change.data
        if change.kind == "reset":
            self._status = {**self._daemon.status()}
            self._jobs = {text(row, "id"): row for row in rows(self._daemon.active_jobs(), "jobs")}
            self._known, self._counts_changed = True, False
        elif change.kind == "job":
            self._take_row(text(data, "id"), data)
        elif change.kind == "ended":
            status, code = text(data, "status"), text(data, "code")
            self._ended[text(data, "job")] = f"{status}: {code}" if code and code != status else status
        elif change.kind == "daemon":
            self._status = {**self._status, **data}
        self._last_id = change.id

    def _take_row(self, job_id: str, row: Mapping[str, object]) -> None:
        status = text(row, "status")
        if status == JobState.PROCESSING:
            self._counts_changed = self._counts_changed or job_id not in self._jobs
            self._jobs[job_id] = row
            return
        self._counts_changed = True
        if status == JobState.PENDING:  # a file, which may have the name of one that runs
            return
        self._jobs.pop(job_id, None)
        if status in ENDED_STATES:
            self._ended[job_id] = status
