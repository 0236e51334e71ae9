"""When each state of each job was there, and when the API, its events, hyperctl and the page showed it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from inotify_simple import INotify, flags
from playwright.sync_api import Page

from tests.page.browser import chromium
from tests.system.daemon_process import DaemonProcess

#: The state of a job by the directory of its file.
STATES = {"to_be_processed": "pending", "processing": "processing", "processed": "completed", "failed": "failed"}

#: A job is never seen to go back; nothing is dropped twice.
_ORDER = {"pending": 0, "processing": 1, "completed": 2, "failed": 2}

_RECORDS = (".report.json", ".meta.json", ".error.json")

#: Seconds that the directories' own watcher may be late; who looks at the same time may know of the next state first.
_LATE = 0.25

#: Seconds between two looks of those who have to ask.
_PAUSE = 0.1


@dataclass
class Stay:
    """A job was in a state from ``since`` to ``until``; monotonic times."""

    job: str
    state: str
    since: float
    until: float = float("inf")


@dataclass
class View:
    """What one way of looking showed: (begin of the look, its end, states by job)."""

    name: str
    looks: list[tuple[float, float, dict[str, str]]] = field(default_factory=list)

    def stale(self, stay: Stay, patience: float) -> list[float]:
        """Looks during the stay, begun later than ``patience`` seconds into it, that did not show it; how late."""
        during = [look for look in self.looks if look[0] >= stay.since + patience and look[1] <= stay.until - _LATE]
        return [began - stay.since for began, _ended, states in during if states.get(stay.job) != stay.state]

    def delay(self, stay: Stay) -> float:
        """Seconds from the begin of the stay to the end of the first look that showed it."""
        seen = (
            ended
            for began, ended, states in self.looks
            if began <= stay.until and ended >= stay.since - _LATE and states.get(stay.job) == stay.state
        )
        return max(0.0, next(seen, float("inf")) - stay.since)

    @property
    def longest(self) -> float:
        """Seconds from the begin of a look to the end of the next: what is in between may be missed once."""
        return max((after[1] - before[0] for before, after in pairwise(self.looks)), default=0.0)


class Loop(threading.Thread):
    """Does something again and again until it is left; ``wake`` makes one end that waits."""

    def __init__(self, act: Callable[[], None], wake: Callable[[], None] | None = None) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._wake = wake
        self._left = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._left.is_set():
                self._act()
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self._wake is not None:
            self._wake()
        self.join(30)
        if kind is None and self.error is not None:
            raise self.error


class Directories:
    """What the directories themselves show, by inotify, with times."""

    def __init__(self, base: Path) -> None:
        self.stays: list[Stay] = []
        self._base = base
        self._inotify = INotify()
        self._places: dict[int, str] = {}
        self._now: dict[str, Stay] = {}
        for place in STATES:
            self._watch(base / place, place)

    def _watch(self, directory: Path, place: str) -> None:
        mask = flags.MOVED_FROM | flags.MOVED_TO | flags.CREATE
        self._places[self._inotify.add_watch(directory, mask)] = place

    def look(self) -> None:
        """Note what has happened; waits a moment for something to happen."""
        for event in self._inotify.read(timeout=100):
            clock, place = time.monotonic(), self._places[event.wd]
            if event.mask & flags.ISDIR:
                self._watch(self._base / place / event.name, place)
                for name in sorted(path.name for path in (self._base / place / event.name).iterdir()):
                    self._entered(name, STATES[place], clock)
            elif event.mask & flags.MOVED_TO:
                self._entered(event.name, STATES[place], clock)

    def _entered(self, job: str, state: str, clock: float) -> None:
        before = self._now.get(job)
        # what a new directory holds is read before the events that tell how it came there
        if job.endswith(_RECORDS) or (before is not None and _ORDER[state] <= _ORDER[before.state]):
            return
        if before is not None:
            before.until = clock
        self._now[job] = Stay(job, state, clock)
        self.stays.append(self._now[job])

    def close(self) -> None:
        self._inotify.close()


def api_view(daemon: DaemonProcess) -> tuple[View, Callable[[], None]]:
    """GET /api/workflow/jobs."""
    view = View("api")

    def look() -> None:
        began = time.monotonic()
        rows = daemon.api.jobs("all", limit=1000)["jobs"]
        view.looks.append((began, time.monotonic(), _states(rows)))
        time.sleep(_PAUSE)

    return view, look


def hyperctl_view(daemon: DaemonProcess) -> tuple[View, Callable[[], None]]:
    """``hyperctl workflow list --json``, a process each time."""
    view = View("hyperctl")
    command = [Path(sys.executable).parent / "hyperctl", "--socket", daemon.socket]

    def look() -> None:
        began = time.monotonic()
        done = subprocess.run(
            [*command, "workflow", "list", "--json"], capture_output=True, text=True, timeout=60, check=True
        )
        view.looks.append((began, time.monotonic(), _states(json.loads(done.stdout)["jobs"])))

    return view, look


def events_view(daemon: DaemonProcess) -> tuple[View, Callable[[], None]]:
    """GET /api/workflow/events: the state of every job by events alone."""
    view, states = View("events"), dict[str, str]()
    stream: list[Iterator[tuple[str, str, dict[str, object]]]] = []

    def look() -> None:
        if not stream:
            stream.append(iter(daemon.api.live_events()))
        _id, kind, data = next(stream[0], ("", "end", {}))
        if kind == "end":
            raise AssertionError("the stream of events ended")
        if kind == "reset":  # the first: a look, and from then on events alone
            states.update(_states(daemon.api.jobs("all", limit=1000)["jobs"]))
        elif kind == "job":
            states[str(data["id"])] = str(data["status"])
            clock = time.monotonic()
            view.looks.append((clock, clock, dict(states)))

    return view, look


def page_look(page: Page, view: View) -> None:
    """The rows of the page as they are now."""
    began = time.monotonic()
    rows = page.evaluate(
        """() => [...document.querySelectorAll("#jobs > li")].map((row) =>
            [row.querySelector("a").textContent, row.querySelector('[data-part="status"]').textContent])"""
    )
    view.looks.append((began, time.monotonic(), dict(rows)))
    page.wait_for_timeout(_PAUSE * 1000)


@dataclass
class Sightings:
    """All that was seen of a queue. The page can only be asked by the thread that opened it: call :meth:`look`."""

    directories: Directories
    page: Page
    shown: View = field(default_factory=lambda: View("page"))
    views: list[View] = field(default_factory=list)

    def look(self) -> None:
        """Look at the page."""
        page_look(self.page, self.shown)

    def ended(self) -> set[str]:
        """Jobs that have come to their end."""
        return {stay.job for stay in self.directories.stays if stay.state in {"completed", "failed"}}


@contextlib.contextmanager
def sightings(daemon: DaemonProcess, base: Path, wake: Callable[[], None]) -> Iterator[Sightings]:
    """Watch ``base`` itself and what ``daemon`` shows of it; ``wake`` makes something happen there at the end."""
    ready = next(json.loads(line) for line in daemon.logged() if '"addresses"' in line)
    with contextlib.closing(Directories(base)) as directories, chromium() as browser, contextlib.ExitStack() as stack:
        page = browser.new_page()
        page.goto(f"{ready['addresses'][0]}/web/dashboard/")
        page.get_by_role("button", name="All", exact=True).click()
        page.get_by_text("Live", exact=True).wait_for()
        seen = Sightings(directories, page)
        seen.views.append(seen.shown)
        stack.enter_context(Loop(directories.look))
        for make, end in ((api_view, None), (hyperctl_view, None), (events_view, wake)):
            view, look = make(daemon)
            seen.views.append(view)
            stack.enter_context(Loop(look, end))
        yield seen


def _states(rows: list[dict[str, str]]) -> dict[str, str]:
    return {row["id"]: row["status"] for row in rows}
