"""The rows of job lists as the index has them: in their order, filtered and sorted."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple

from hypersdkd.engine.index import ActiveJob, Day, Ended, Index, rfc3339
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.ordered import NamedRows
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.replies import JobQuery

_PENDING: Final = "1/"
_ACTIVE: Final = "2/"
_FOREIGN: Final = "2~"

_Rank = tuple[str, int, int]


class JobRow(NamedTuple):
    """A row that costs little until it is shown. ``when`` is when it came to where it is, in nanoseconds since 1970;
    ``day`` is that of an ended job, which alone has one."""

    place: str
    name: str
    when: int
    subject: Entry | ActiveJob | Ended | None
    day: Day = ("", "")

    @property
    def key(self) -> str:
        """What tells it from all other rows."""
        return self.place + self.name


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is of the index to make rows of."""

    states: frozenset[JobState]
    pending: Iterable[tuple[str, Entry]]
    active: Sequence[tuple[str, ActiveJob]]
    foreign: Sequence[tuple[str, int]]
    days: Sequence[tuple[Day, Callable[[], Iterable[tuple[str, Ended]]]]]

    @classmethod
    def of(cls, index: Index, query: JobQuery, *, copied: bool = False) -> Listing:
        """What a query asks for of the index; ``copied`` to be looked through in a thread. The loop's alone."""
        states = query.states or frozenset(JobState)
        pending = JobState.PENDING in states and not query.date
        processing = JobState.PROCESSING in states and not query.date
        kinds = {"processed"} if JobState.COMPLETED in states else set()
        if states & {JobState.FAILED, JobState.CANCELLED}:
            kinds.add("failed")
        days = [day for day in index.days() if day[0] in kinds and query.date in {"", day[1]}]
        waiting: NamedRows[Entry] = index.pending_in_order() if pending else NamedRows((), {})
        newest = {day: partial(index.newest_first, day) for day in days}
        if copied:
            waiting = waiting.copy()
            newest = {day: partial(NamedRows.copy, index.newest_first(day).copy()) for day in days}
        return cls(
            states,
            waiting,
            list(index.active.items()) if processing else (),
            sorted(index.foreign()) if processing else (),
            list(newest.items()),
        )


def rows(listing: Listing) -> Iterator[JobRow]:
    """Pending ones in the order of their claims, then running ones, then ended ones, the newest first."""
    for name, entry in listing.pending:
        yield JobRow(_PENDING, name, entry.arrived, entry)
    for job_id, job in listing.active:
        yield JobRow(_ACTIVE, job_id, _nanoseconds(job.claimed_at), job)
    for name, mtime in listing.foreign:
        yield JobRow(_FOREIGN, name, mtime, None)
    for date in sorted({day[1] for day, _rows in listing.days}, reverse=True):
        both = [_of_day(listing, day, newest()) for day, newest in listing.days if day[1] == date]
        yield from both[0] if len(both) == 1 else heapq.merge(*both, key=lambda row: (-row.when, row.name))


def _of_day(listing: Listing, day: Day, newest: Iterable[tuple[str, Ended]]) -> Iterator[JobRow]:
    place = f"3{day[1]}{day[0]}/"
    return (JobRow(place, name, row.mtime, row, day) for name, row in newest if _state(day, row) in listing.states)


def search(listing: Listing, query: JobQuery, position: int, key: str) -> tuple[Sequence[JobRow], int, int]:
    """The rows of a page and the one after it, the number of the first, and how many there are in all.

    The page begins after the row ``key``, or at ``position`` where that has gone; without ``key`` it is the first.
    Takes a second for 100,000 rows: for a thread. Of all rows it keeps a page's alone, for the many that would be
    alive at once are looked through by the garbage collector, which stops the loop too.
    """
    down, start, total, last = query.sort.startswith("-"), 0, 0, None
    for rank, row in _found(listing, query):
        total += 1
        if key and row.key == key:
            last = rank
    pick = heapq.nlargest if down else heapq.nsmallest
    if last is None:
        start = position if key else 0
        return _rows_of(pick(start + query.limit + 1, _found(listing, query), key=itemgetter(0))[start:]), start, total

    def after() -> Iterator[tuple[_Rank, JobRow]]:
        nonlocal start
        for rank, row in _found(listing, query):
            if rank < last if down else rank > last:
                yield rank, row
            else:
                start += 1

    return _rows_of(pick(query.limit + 1, after(), key=itemgetter(0))), start, total


def _rows_of(found: Iterable[tuple[_Rank, JobRow]]) -> list[JobRow]:
    return [row for _rank, row in found]


def _found(listing: Listing, query: JobQuery) -> Iterator[tuple[_Rank, JobRow]]:
    part, rank = query.q.casefold(), _rank(query.sort)
    for number, row in enumerate(rows(listing)):
        if not part or part in _shown(row):
            yield rank(row, number), row


def _rank(sort: str) -> Callable[[JobRow, int], _Rank]:
    """What rows are sorted by: their names, times, or numbers alone; equals are always in the order of numbers."""
    sign = -1 if sort.startswith("-") else 1
    if sort.endswith("name"):
        return lambda row, number: (_shown(row), 0, sign * number)
    if sort.endswith("time"):
        return lambda row, number: ("", row.when, sign * number)
    return lambda _row, number: ("", 0, number)


def _shown(row: JobRow) -> str:
    return file_name_for_display(row.name).casefold()


def _nanoseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1e9)


# -- what is shown of a row -----------------------------------------------------------------------


def summary_of(row: JobRow) -> JobSummary:
    """A row as lists show it, without what the record of an ended job says. In the loop: jobs run there."""
    if isinstance(row.subject, Entry):
        return pending_summary(row.name, row.subject)
    if isinstance(row.subject, Ended):
        return ended_summary(row.day, row.name, row.subject)
    return foreign_summary(row.name, row.when) if row.subject is None else active_summary(row.subject)


def pending_summary(name: str, entry: Entry) -> JobSummary:
    """An entry of the drop directory."""
    stage = "WAITING" if entry.verdict is Verdict.WAITING else "PENDING"
    return JobSummary(file_name_for_display(name), JobState.PENDING, stage, error=entry.reason)


def active_summary(job: ActiveJob) -> JobSummary:
    """A job that is being worked, as it is now."""
    summary = job.summary()
    return replace(summary, elapsed_seconds=_since(summary.started_at))


def ended_summary(day: Day, name: str, row: Ended) -> JobSummary:
    """An ended job's row without what its sidecar says."""
    return JobSummary(
        id=file_name_for_display(name), status=_state(day, row), date=day[1], finished_at=rfc3339(row.mtime)
    )


def foreign_summary(name: str, mtime: int) -> JobSummary:
    """A file in ``processing/`` that another daemon works; ``mtime`` in nanoseconds."""
    started = rfc3339(mtime)
    return JobSummary(
        id=file_name_for_display(name),
        status=JobState.PROCESSING,
        stage="PROCESSING",
        started_at=started,
        elapsed_seconds=_since(started),
        foreign=True,
    )


def _state(day: Day, row: Ended) -> JobState:
    if day[0] == "processed":
        return JobState.COMPLETED
    return JobState.CANCELLED if row.cancelled else JobState.FAILED


def _since(started: str | None) -> int:
    return seconds_between(started, datetime.now(UTC).isoformat())


def seconds_between(start: str | None, end: str | None) -> int:
    """Whole seconds from one time to another, both ISO 8601; 0 where they cannot be told."""
    try:
        return max(0, int((datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()))
    except (ValueError, TypeError):
        return 0
