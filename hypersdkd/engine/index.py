"""The index: the queue in memory. A cache of the directories that any look at them corrects; reads are O(1)."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from hypersdkd.engine.grouping import Grouping
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.ordered import NamedRows, Ordered
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model import moment
from hypersdkd.model.job import SIDECAR_SUFFIXES, JobState, JobSummary

#: Directory of ended jobs: ("processed" or "failed", "YYYY-MM-DD").
Day = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """One file of an ended job; ``mtime`` in nanoseconds."""

    mtime: int
    cancelled: bool = False


#: Seconds of the first and the last moment that RFC 3339 can say; anyone can give a file any time.
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC).timestamp()
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def rfc3339(nanoseconds: int) -> str:
    """A time of a file as the API gives it: RFC 3339, UTC, milliseconds."""
    stamp = datetime.fromtimestamp(min(max(nanoseconds / 1e9, _EARLIEST), _LATEST), UTC)
    return moment.rfc3339(stamp)


class ActiveJob(Protocol):
    """A job that is being worked."""

    @property
    def claimed_at(self) -> str:
        """Since when, RFC 3339 UTC."""

    def summary(self) -> JobSummary:
        """Its row now."""


class Listener(Protocol):
    """Who hears of changes; ``engine.announcer`` is one. Calls must be quick and must not raise."""

    def dropped(self, name: str, before: Entry | None, entry: Entry | None) -> None:
        """An entry of the drop directory was judged, or is gone (``None``)."""

    def processing(self, name: str, mtime: int | None) -> None:
        """A file in ``processing/`` appeared, or went away (``None``)."""

    def ended(self, day: Day, name: str, row: Ended | None) -> None:
        """A job is among the ended ones, or (``None``) its file is gone."""

    def recorded(self, day: Day, name: str, row: Ended) -> None:
        """A record was written beside an ended job that was there already."""


class Index:
    """Written by the intake (what lies where) and the workflow (what runs); read by everybody.

    ``groups``: files of the drop directory that belong together are one job.
    """

    def __init__(self, *, groups: bool = False) -> None:
        self._grouping = Grouping(self.in_processing) if groups else None
        self._drop: dict[str, Entry] = {}
        self._unsettled: set[str] = set()
        self._verdicts: Counter[Verdict] = Counter()
        self._heap: list[tuple[int, str]] = []
        self._order = Ordered(self._pending_keys)
        self._shown_drop: dict[str, str] = {}
        self._processing: dict[str, int] = {}
        self._ended: dict[Day, dict[str, Ended]] = {}
        self._cancelled: Counter[Day] = Counter()
        self._where: dict[str, Day] = {}
        self._shown: dict[str, str] = {}
        self._newest: dict[Day, Ordered[tuple[int, str]]] = {}
        self.active: dict[str, ActiveJob] = {}
        """Jobs that we work, by ID."""
        self.active_files: set[str] = set()
        """Names of their files in ``processing/``."""
        self.active_companions: set[str] = set()
        """Names of the files that came along with them, known before they come and until they have gone."""
        self.listener: Listener | None = None
        """Hears of every change, once it is set."""
        self.last_error = ""
        """What the last failed job failed of."""
        self.last_failed = ""
        """The same, while no job has been completed since."""
        self.version = 0
        """Grows at every change."""

    # -- the drop directory -----------------------------------------------------------------------

    def drop_entry(self, name: str) -> Entry | None:
        """The last judgement of an entry."""
        return self._drop.get(name)

    def drop_names(self) -> set[str]:
        """All names that are known to lie in the drop directory."""
        return set(self._drop)

    def drop_entries(self) -> dict[str, Entry]:
        """A copy of all judgements, to be looked through elsewhere."""
        return self._drop.copy()

    def set_drop(self, name: str, entry: Entry | None) -> None:
        """Record a judgement; ``None``: the entry is gone. What it makes of the files that belong to it is seen to."""
        self.set_drops([(name, entry)])

    def set_drops(self, entries: Sequence[tuple[str, Entry | None]]) -> None:
        """Record several judgements at once, which is cheaper where they are of one group."""
        changed = self._grouping.changed(entries) if self._grouping is not None else dict(entries)
        given = {name for name, _entry in entries}
        for name, entry in changed.items():
            if name in given or entry != self._drop.get(name):
                self._set_drop(name, entry)

    def companions(self, lead: str, *, shared: bool = True) -> Sequence[str]:
        """The files of the drop directory that go with ``lead``; without ``shared`` those that nothing else needs."""
        return self._grouping.companions(lead, shared=shared) if self._grouping is not None else ()

    def own_judgements(self, names: Iterable[str]) -> Sequence[tuple[str, Entry]]:
        """What each of ``names`` that is there was judged to be by itself, whatever it belongs to."""
        if self._grouping is not None:
            return self._grouping.entries(names)
        return [(name, self._drop[name]) for name in names if name in self._drop]

    def _set_drop(self, name: str, entry: Entry | None) -> None:
        self._unsettled.discard(name)
        before = self._drop.pop(name, None)
        if before is not None:
            self._verdicts[before.verdict] -= 1
            if before.verdict is not Verdict.IGNORED:
                self._order.remove(_pending_key(name, before))
        _note_shown(self._shown_drop, name, there=entry is not None)
        if entry is not None:
            if entry.verdict is not Verdict.IGNORED:
                self._order.add(_pending_key(name, entry))
            self._drop[name] = entry
            self._verdicts[entry.verdict] += 1
            if entry.verdict is Verdict.WAITING and not entry.held:
                self._unsettled.add(name)
            known = before is not None and before.verdict is Verdict.READY and before.arrived == entry.arrived
            if entry.verdict is Verdict.READY and not known:
                heapq.heappush(self._heap, (entry.arrived, name))
        self.version += 1
        if self.listener is not None:
            self.listener.dropped(name, before, entry)

    def next_ready(self) -> str | None:
        """The ready entry that arrived first; it stays until :meth:`set_drop` says that it is gone."""
        while self._heap:
            arrived, name = self._heap[0]
            entry = self._drop.get(name)
            if entry is not None and entry.verdict is Verdict.READY and entry.arrived == arrived:
                return name
            heapq.heappop(self._heap)
        return None

    def unsettled_names(self) -> Sequence[str]:
        """Entries that wait for something of their own, so that another look at them may find them ready."""
        return list(self._unsettled)

    def count(self, verdict: Verdict) -> int:
        """Entries of the drop directory that were judged so."""
        return self._verdicts[verdict]

    def queue_depth(self) -> int:
        """Files that are for us and not claimed yet, waiting ones included."""
        return self._verdicts[Verdict.READY] + self._verdicts[Verdict.WAITING]

    def waiting_count(self) -> int:
        """Files that are for us and cannot be claimed yet."""
        return self._verdicts[Verdict.WAITING]

    def drop_name(self, shown: str) -> str | None:
        """The name of an entry from how it is shown."""
        return shown if shown in self._drop else self._shown_drop.get(shown)

    def pending_in_order(self) -> NamedRows[Entry]:
        """Ready entries in the order of their claims, then the waiting ones."""
        return NamedRows(self._order.keys(), self._drop)

    def _pending_keys(self) -> Iterator[tuple[bool, int, str]]:
        return (_pending_key(name, entry) for name, entry in self._drop.items() if entry.verdict is not Verdict.IGNORED)

    # -- processing -------------------------------------------------------------------------------

    def set_processing(self, name: str, mtime: int | None) -> None:
        """A file in ``processing/`` appeared (with its mtime) or went away (``None``)."""
        before = self._processing.pop(name, None)
        if mtime is not None:
            self._processing[name] = mtime
        self.version += 1
        if self.listener is not None and before != mtime:
            self.listener.processing(name, mtime)
        if self._grouping is not None and (before is None) != (mtime is None):
            for waiting, entry in self._grouping.freed(name).items():
                if entry != self._drop.get(waiting):
                    self._set_drop(waiting, entry)

    def in_processing(self, name: str) -> bool:
        """Whether a file of this name is known to lie in ``processing/``."""
        return name in self._processing

    def is_processing(self, name: str) -> bool:
        """Whether a job of this name is being worked, by us or by another daemon."""
        return name in self.active or name in self._processing

    def processing_names(self) -> set[str]:
        """All names that are known to lie in ``processing/``."""
        return set(self._processing)

    def foreign(self) -> list[tuple[str, int]]:
        """Files in ``processing/`` that are not ours, with their mtimes."""
        ours = self.active_files | self.active_companions
        return [(name, mtime) for name, mtime in self._processing.items() if name not in ours]

    def processing_count(self) -> int:
        """Our running jobs and foreign files."""
        return len(self.active) + len(self._processing.keys() - self.active_files - self.active_companions)

    # -- ended ------------------------------------------------------------------------------------

    def set_ended(self, day: Day, name: str, row: Ended | None) -> None:
        """A file of an ended job appeared or went away (``None``)."""
        if row is None and day not in self._ended:
            return
        rows = self._ended.setdefault(day, {})
        before = rows.get(name)
        self._cancelled[day] += (row is not None and row.cancelled) - (before is not None and before.cancelled)
        if row is not None:  # replaced in one step: the spool's thread may be asking where it is
            rows[name] = row
            self._where[name] = day
            _note_shown(self._shown, name, there=True)
        elif before is not None:
            del rows[name]
            if self._where.get(name) == day:
                del self._where[name]
                _note_shown(self._shown, name, there=False)
        self._reorder(day, name, before, row)
        self.version += 1
        if self.listener is not None and row != before:
            self.listener.ended(day, name, row)

    def record_changed(self, day: Day, record: str) -> None:
        """A record beside an ended job appeared, changed or went away: no row holds it, but lists show it."""
        self.version += 1
        name = next((record.removesuffix(end) for end in SIDECAR_SUFFIXES if record.endswith(end)), record)
        row = self.ended_row(day, name)
        if row is not None and self.listener is not None:
            self.listener.recorded(day, name, row)

    def forget_day(self, day: Day) -> None:
        """A directory of ended jobs is gone."""
        for name in self.ended_names(day):
            self.set_ended(day, name, None)
        self._ended.pop(day, None)
        self._newest.pop(day, None)

    def ended_names(self, day: Day) -> set[str]:
        """Names known in one directory of ended jobs."""
        return set(self._ended.get(day, ()))

    def days(self) -> set[Day]:
        """Directories of ended jobs that are known."""
        return set(self._ended)

    def ended_name(self, shown: str) -> str:
        """The name of an ended job's file from how it is shown: itself, but for names that are no text."""
        return self._shown.get(shown, shown)

    def where(self, name: str) -> Day | None:
        """In which directory of ended jobs a name lies (the latest, if in several)."""
        return self._where.get(name)

    def ended_row(self, day: Day, name: str) -> Ended | None:
        """One row."""
        return self._ended.get(day, {}).get(name)

    def count_ended(self, state: JobState, date: str) -> int:
        """How many jobs ended so on a date."""
        if state is JobState.COMPLETED:
            return len(self._ended.get(("processed", date), ()))
        day = ("failed", date)
        cancelled = self._cancelled[day]
        return cancelled if state is JobState.CANCELLED else len(self._ended.get(day, ())) - cancelled

    def total_ended(self, state: JobState) -> int:
        """How many jobs ended so, of all dates."""
        return sum(self.count_ended(state, date) for date in {date for _kind, date in self._ended})

    def newest_first(self, day: Day) -> NamedRows[Ended]:
        """The rows of one directory, the latest file first."""
        rows = self._ended.get(day)
        if rows is None:
            return NamedRows((), {})
        if day not in self._newest:
            self._newest[day] = Ordered(lambda: ((-row.mtime, name) for name, row in rows.items()))
        return NamedRows(self._newest[day].keys(), rows)

    def _reorder(self, day: Day, name: str, before: Ended | None, row: Ended | None) -> None:
        newest = self._newest.get(day)
        if newest is None:
            return
        if before is not None:
            newest.remove((-before.mtime, name))
        if row is not None:
            newest.add((-row.mtime, name))


def _pending_key(name: str, entry: Entry) -> tuple[bool, int, str]:
    return entry.verdict is Verdict.WAITING, entry.arrived, name


def _note_shown(known: dict[str, str], name: str, *, there: bool) -> None:
    """Remember a name by how it is shown, or forget it; only of names that are no text, which are few."""
    shown = file_name_for_display(name)
    if shown == name:
        return
    if there:
        known[shown] = name
    elif known.get(shown) == name:
        del known[shown]
