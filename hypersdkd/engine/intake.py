"""The intake keeps the index true to the directories.

One kind of look serves start-up, inotify, overflow and the safety check: at all entries of a directory, or
at those that an event named. Looking happens in a thread, in slices; the loop is never held for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog

from hypersdkd.engine.index import Day, Index
from hypersdkd.engine.layout import ENDED, QueueLayout
from hypersdkd.engine.looks import ended_rows, is_record, listing, missing_of, mtime_of, mtimes_of
from hypersdkd.engine.readiness import Entry, Readiness, Verdict
from hypersdkd.host.inotify import DIRECTORY_CHANGES, Inotify
from hypersdkd.model.job import SIDECAR_SUFFIXES
from hypersdkd.model.problem import ProblemError

#: Entries judged in one go in the thread; a few ms of work, 2.5 s if each were a hostile image.
_SLICE: Final = 50

#: Least seconds between two looks at what waits.
_LEAST_PAUSE: Final = 0.1

#: Seconds after which a directory whose changes were told by events is looked at as a whole, to make sure:
#: a directory on NFS may be watched, and yet nobody tells what another host does there.
_CONFIRM_AFTER: Final = 60.0

#: Nanoseconds within which two changes may have the same mtime: FAT's and some servers' clocks tick so slowly.
_COARSE_TIMES: Final = 2_000_000_000


class Intake:
    """Watches one queue. ``on_change`` is called in the loop after each round that found anything."""

    def __init__(
        self,
        layout: QueueLayout,
        index: Index,
        readiness: Readiness,
        *,
        poll_interval: float,
        beat_interval: float = math.inf,
        on_change: Callable[[], None],
    ) -> None:
        self._layout = layout
        self._index = index
        self._readiness = readiness
        self._poll_interval = poll_interval
        self._beat_interval = beat_interval
        self._on_change = on_change
        self._log = structlog.get_logger()
        self._wake = asyncio.Event()
        self._next_check = 0.0
        self._dirty: dict[Path, dict[str, bool]] = {}
        self._stale: set[Path] = set()
        self._mtimes: dict[Path, int] = {}
        """Each directory's mtime when all that had changed in it had been looked at."""
        self._whole_looks: dict[Path, tuple[int, float]] = {}
        """Each directory's mtime at the last look at all of it, and the monotonic time of that look."""
        self._watches: dict[Path, int] = {}
        self._inotify: Inotify | None = None
        self.rescans: Counter[str] = Counter()
        """Whole looks at a directory by reason: start, overflow, changed, new-day."""
        self.last_round = time.monotonic()
        """Monotonic time of the last finished round, for the watchdog."""

    # -- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Watch and look at everything once. Returns when the index is whole."""
        self._inotify = Inotify(self._overflowed)
        for directory in self._directories():
            self._watch(directory)
            self._mark_stale(directory, "start")
        await self._round()

    async def run(self) -> None:
        """Look whenever something happened, and at least every ``poll_interval``; until cancelled."""
        self._next_check = time.monotonic() + self._poll_interval
        while True:
            pause = min(self._next_check - time.monotonic(), self._beat_interval, self._settling())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await self._wake.wait()
            if time.monotonic() >= self._next_check:
                self._next_check = time.monotonic() + self._poll_interval
                await self._safety_check()
            elif not self._wake.is_set():
                self._look_at_waiting()
            self._wake.clear()
            await self._round()
            self.last_round = time.monotonic()

    def pace(self, poll_interval: float, beat_interval: float) -> None:
        """Look so often from now on."""
        self._poll_interval, self._beat_interval = poll_interval, beat_interval
        self.check()

    def _settling(self) -> float:
        """Seconds after which something that waits for itself may be ready; infinite when nothing does."""
        return max(_LEAST_PAUSE, self._readiness.settle_seconds) if self._index.unsettled_names() else math.inf

    def _look_at_waiting(self) -> None:
        for name in self._index.unsettled_names():
            self._touch(self._layout.drop, name, moved=False)

    def close(self) -> None:
        """Stop watching."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def look_at(self, name: str) -> None:
        """Ask for a look at one entry of the drop directory, as an event would."""
        self._touch(self._layout.drop, name, moved=True)

    def check(self) -> None:
        """Ask for a safety check now."""
        self._next_check = 0.0
        self._wake.set()

    def ignores(self, name: str) -> bool:
        """Whether an entry of the drop directory is none of ours."""
        entry = self._index.drop_entry(name)
        return entry is None or entry.verdict is Verdict.IGNORED

    def refuses(self, name: str) -> bool:
        """Whether a name alone says that it is none of ours."""
        return bool(self._readiness.not_for_us(name))

    # -- what to look at --------------------------------------------------------------------------

    def _directories(self) -> Iterable[Path]:
        layout = self._layout
        yield from (layout.drop, layout.processing, layout.processed, layout.failed)
        yield from layout.dated()

    def _watch(self, directory: Path) -> bool:
        """Watch a directory; true if it was not watched yet, or is another one of the same name."""
        if self._inotify is None:
            return False

        def changed(name: str, moved: bool) -> None:
            if name:
                self._touch(directory, name, moved)
            else:
                self._mark_stale(directory, "changed")

        before = self._watches.get(directory)
        try:
            self._watches[directory] = self._inotify.watch(directory, DIRECTORY_CHANGES, changed)
        except FileNotFoundError:
            pass  # the safety check finds it when it comes
        except OSError as error:  # no watches left, or no inotify here: the safety check still sees all
            self._log.warning("not watched", directory=str(directory), error=error.strerror)
        return self._watches.get(directory) != before

    def _touch(self, directory: Path, name: str, moved: bool) -> None:
        names = self._dirty.setdefault(directory, {})
        names[name] = names.get(name, False) or moved
        self._wake.set()

    def _mark_stale(self, directory: Path, reason: str) -> None:
        self.rescans[reason] += 1
        self._stale.add(directory)
        self._wake.set()

    def _overflowed(self) -> None:
        self._log.warning("inotify queue overflowed; looking at all directories")
        for directory in self._directories():
            self._mark_stale(directory, "overflow")

    async def _safety_check(self) -> None:
        """One stat a directory; a look only where its mtime changed; and again at all that waits."""
        try:
            directories = await asyncio.to_thread(self._mended)
        except (OSError, ProblemError) as error:  # the storage is in trouble: that passes, or an operator sees it
            self._log.error("the queue's directories cannot be looked at", error=str(error))
            return
        for directory, mtime in directories:
            if self._mtimes.get(directory) != mtime or self._is_overdue(directory, mtime):
                self._watch(directory)
                self._mark_stale(directory, "changed")
        self._look_at_waiting()

    def _is_overdue(self, directory: Path, mtime: int) -> bool:
        """Whether a change that events told of has not been confirmed by a look at all for long."""
        seen, when = self._whole_looks.get(directory, (0, 0.0))
        return seen != mtime and time.monotonic() - when > _CONFIRM_AFTER

    def _mended(self) -> list[tuple[Path, int]]:
        self._layout.mend()
        return [(path, mtime_of(path)) for path in self._directories()]

    # -- looking ----------------------------------------------------------------------------------

    async def _round(self) -> None:
        """Look at what there is to look at now; what comes meanwhile has set the wake and is for the next round."""
        stale, self._stale = self._stale, set()
        dirty, self._dirty = self._dirty, {}
        for directory in self._last_first(dirty):
            mtime = await asyncio.to_thread(mtime_of, directory)
            await self._look_at_some(directory, list(dirty[directory].items()))
            if directory in self._watches:  # events told of all until then; a later change has another mtime
                self._mtimes[directory] = mtime
        for directory in self._last_first(stale):
            await self._look_at_all(directory)
        if stale or dirty:
            self._on_change()

    def _last_first(self, directories: Iterable[Path]) -> list[Path]:
        """Against the way that jobs go: one that moved on is found where it is before it is missed where it was."""
        way = (self._layout.drop, self._layout.processing)
        return sorted(directories, key=lambda place: way.index(place) if place in way else len(way), reverse=True)

    async def _look_at_all(self, directory: Path) -> None:
        mtime = await asyncio.to_thread(mtime_of, directory)
        present = await asyncio.to_thread(listing, directory)
        if present is None:
            return  # it could not be listed: at the next check again
        gone = self._known(directory) - present
        # a whole look knows nothing of how an entry came; what it already knew of it is kept
        await self._look_at_some(directory, [(name, False) for name in (*gone, *present)], give_way=True)
        if directory not in self._watches and time.time_ns() - mtime < _COARSE_TIMES:
            return  # what came after the listing in the same tick of the file system's clock is not seen yet
        self._mtimes[directory] = mtime
        self._whole_looks[directory] = (mtime, time.monotonic())

    async def _look_at_some(
        self, directory: Path, names: Sequence[tuple[str, bool]], *, give_way: bool = False
    ) -> None:
        """In slices. A long look gives way to what events name meanwhile."""
        look = self._look_for(directory)
        for start in range(0, len(names), _SLICE):
            await look(names[start : start + _SLICE])
            self.last_round = time.monotonic()
            if give_way and self._dirty:
                dirty, self._dirty = self._dirty, {}
                for place in self._last_first(dirty):
                    await self._look_at_some(place, list(dirty[place].items()))
                self._on_change()

    def _look_for(self, directory: Path) -> Callable[[Sequence[tuple[str, bool]]], Awaitable[None]]:
        if directory == self._layout.drop:
            return self._judge
        if directory == self._layout.processing:
            return self._look_at_processing
        if directory.parent.name in ENDED:
            return lambda names: self._look_at_ended((directory.parent.name, directory.name), directory, names)
        return lambda names: self._look_at_days(directory, names)

    def _known(self, directory: Path) -> set[str]:
        if directory == self._layout.drop:
            return self._index.drop_names()
        if directory == self._layout.processing:
            return self._index.processing_names()
        if directory.parent.name in ENDED:
            return self._index.ended_names((directory.parent.name, directory.name))
        return {date for kind, date in self._index.days() if kind == directory.name}

    async def _judge(self, names: Sequence[tuple[str, bool]]) -> None:
        clock = time.monotonic()
        before = [(name, self._index.drop_entry(name), moved) for name, moved in names]

        def judge() -> list[tuple[str, Entry | None]]:
            drop = self._layout.drop
            return [(name, self._readiness.judge(drop, name, entry, clock, moved)) for name, entry, moved in before]

        judged = await asyncio.to_thread(judge)
        self._index.set_drops(judged)
        for name, _judgement in judged:
            entry = self._index.drop_entry(name)
            if entry is not None and entry.verdict is Verdict.WAITING:
                self._log.debug("waiting", name=name, reason=entry.reason)

    async def _look_at_processing(self, names: Sequence[tuple[str, bool]]) -> None:
        here, drop = self._layout.processing, self._layout.drop
        came = [name for name, _moved in names if self._index.drop_entry(name)]
        found, left = await asyncio.to_thread(
            lambda: (mtimes_of(here, [name for name, _moved in names]), missing_of(drop, came))
        )
        for name, mtime in found:
            self._index.set_processing(name, mtime)
        self._index.set_drops([(name, None) for name in left])  # at once: nobody shall find it in both places

    async def _look_at_ended(self, day: Day, directory: Path, names: Sequence[tuple[str, bool]]) -> None:
        jobs = [name for name, _moved in names if is_record(name)]
        for name, _moved in names:
            if name.endswith(SIDECAR_SUFFIXES):
                self._index.record_changed(day, name)
        known = {name: self._index.ended_row(day, name) for name in jobs}
        came = [name for name in jobs if self._index.in_processing(name)]
        rows, left = await asyncio.to_thread(
            lambda: (ended_rows(directory, known, day[0] == "failed"), missing_of(self._layout.processing, came))
        )
        for name, row in rows:
            if row is None or name not in self._index.active:  # whose work says itself that it has ended
                self._index.set_ended(day, name, row)
        for name in left:
            self._index.set_processing(name, None)

    async def _look_at_days(self, directory: Path, names: Sequence[tuple[str, bool]]) -> None:
        for name, _moved in names:
            day = directory / name
            if not await asyncio.to_thread(os.path.isdir, day):
                self._watches.pop(day, None)
                self._index.forget_day((directory.name, name))
            elif self._watch(day):
                self.rescans["new-day"] += 1
                await self._look_at_all(day)  # now: what is in it was missed where it was in this same round
