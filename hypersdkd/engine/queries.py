"""Job lists and single jobs, answered from the index and, for the rows of one page, from their sidecars."""

from __future__ import annotations

import asyncio
import base64
import binascii
import heapq
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from hypersdkd.engine.index import ActiveJob, Day, Ended, Index, rfc3339
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.engine.records import read_head, read_record
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.moment import rfc3339 as rfc3339_of
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import JobPage, JobQuery

_T = TypeVar("_T")

#: Lists, journals and records that are read at once.
_READERS: Final = 2


class _Row(NamedTuple):
    """A row that costs nothing until it is shown: its key, its name, and how to make the rest.

    ``when`` is when it came to where it is, in nanoseconds since 1970.
    """

    key: str
    shown: str
    when: int
    summary: Callable[[], JobSummary]


class Queries:
    """Reads only; safe to call at any time."""

    def __init__(self, layout: QueueLayout, index: Index) -> None:
        self._layout = layout
        self._index = index
        self._readers = ThreadPoolExecutor(_READERS, "reader")

    async def read(self, call: Callable[[], _T]) -> _T:
        """Run what blocks for long, in threads that only those who ask wait for: the queue's work goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    async def page(self, query: JobQuery) -> JobPage:
        """One page: pending in claim order, then running, then ended ones, the newest first; or by ``query.sort``."""
        position, key = _place_of(query.cursor)
        part = query.q.casefold()
        if (
            not part and not key and not query.sort
        ):  # the common case: a first page, of which nothing beyond its end is looked at
            rows = list(islice(self._rows(query), query.limit + 1))
            start, total = 0, self._total(query)
        else:
            rows = [row for row in self._rows(query) if part in row.shown.casefold()]
            if query.sort:
                rows = await self.read(partial(_sorted, rows, query.sort))
            # after its row, or where that was in a list that has lost it since
            start = next((number + 1 for number, row in enumerate(rows) if row.key == key), position)
            total = len(rows)
        end = start + query.limit
        chosen = rows[start:end]
        known = [row.summary() for row in chosen]
        jobs = await self.read(lambda: tuple(map(self._complete, known)))
        return JobPage(jobs, total, _cursor(end, chosen[-1].key) if chosen and end < len(rows) else "")

    def _total(self, query: JobQuery) -> int:
        """How many rows match a query without ``q``, without making any."""
        states = query.states or frozenset(JobState)
        now = {JobState.PENDING: self._index.queue_depth, JobState.PROCESSING: self._index.processing_count}
        total = 0 if query.date else sum(count() for state, count in now.items() if state in states)
        for state in states - now.keys():
            count_on = partial(self._index.count_ended, state)
            total += count_on(query.date) if query.date else self._index.total_ended(state)
        return total

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state, of all dates."""
        index = self._index
        ended = {state: index.total_ended(state) for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)}
        return {JobState.PENDING: index.queue_depth(), JobState.PROCESSING: index.processing_count(), **ended}

    def find_ended(self, name: str) -> tuple[Day, Ended] | None:
        """The record of an ended job by the name of its file."""
        day = self._index.where(name)
        row = self._index.ended_row(day, name) if day else None
        return (day, row) if day and row else None

    def sidecar(self, day: Day, name: str) -> Mapping[str, object]:
        """What the record beside an ended job says; empty if there is none. Blocks."""
        return self._record(day, name, read_record)

    def head(self, day: Day, name: str) -> Mapping[str, object]:
        """Of that what a row needs, without reading what is said of each guest. Blocks."""
        return self._record(day, name, read_head)

    def _record(self, day: Day, name: str, read: Callable[[Path], Mapping[str, object]]) -> Mapping[str, object]:
        suffixes = (".error.json",) if day[0] == "failed" else (".report.json", ".meta.json")
        records = (read(self._layout.base / day[0] / day[1] / f"{name}{suffix}") for suffix in suffixes)
        return next((record for record in records if record), {})

    # -- rows -------------------------------------------------------------------------------------

    def _rows(self, query: JobQuery) -> Iterator[_Row]:
        states = query.states or frozenset(JobState)
        if JobState.PENDING in states and not query.date:
            for name, entry in self._index.pending_in_order():
                yield _Row(
                    f"1/{name}", file_name_for_display(name), entry.arrived, partial(pending_summary, name, entry)
                )
        if JobState.PROCESSING in states and not query.date:
            for job_id, job in list(self._index.active.items()):
                yield _Row(f"2/{job_id}", job_id, _nanoseconds(job.claimed_at), partial(active_summary, job))
            for name, mtime in sorted(self._index.foreign()):
                yield _Row(f"2~{name}", file_name_for_display(name), mtime, partial(foreign_summary, name, mtime))
        kinds = {"processed"} if JobState.COMPLETED in states else set()
        if states & {JobState.FAILED, JobState.CANCELLED}:
            kinds.add("failed")
        days = [day for day in self._index.days() if day[0] in kinds and query.date in {"", day[1]}]
        for date in sorted({day[1] for day in days}, reverse=True):
            yield from self._ended_on([day for day in days if day[1] == date], states)

    def _ended_on(self, days: list[Day], states: frozenset[JobState]) -> Iterator[_Row]:
        """Completed, failed and cancelled jobs of one date, the newest first."""
        for _age, name, day, row in heapq.merge(*map(self._by_age, days)):
            if _state(day, row) in states:
                yield _Row(f"3{day[1]}{day[0]}/{name}", name, row.mtime, partial(ended_summary, day, name, row))

    def _by_age(self, day: Day) -> Iterator[tuple[int, str, Day, Ended]]:
        """The records of one directory, the newest first, each with the directory that it is in."""
        for name, row in self._index.newest_first(day):
            yield -row.mtime, name, day, row

    def _complete(self, row: JobSummary) -> JobSummary:
        """Fill in what only the sidecar of an ended job knows."""
        if not row.date:
            return row
        day = ("processed" if row.status is JobState.COMPLETED else "failed", row.date)
        return with_record(row, self.head(day, self._index.ended_name(row.id)))


def _sorted(rows: list[_Row], sort: str) -> list[_Row]:
    """By ``name`` or ``time``, the other way round with a dash before it; among equals in the order that they have."""
    if sort.endswith("name"):
        return sorted(rows, key=lambda row: row.shown.casefold(), reverse=sort.startswith("-"))
    return sorted(rows, key=lambda row: row.when, reverse=sort.startswith("-"))


def _nanoseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1e9)


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


def with_record(row: JobSummary, record: Mapping[str, object]) -> JobSummary:
    """An ended job's row with what its record says."""
    started = _time(record.get("claimed_at"))
    ended = record.get("completed_at") or record.get("failed_at")
    finished = _time(ended) if started else _local_time(ended) or row.finished_at
    stage = str(record.get("stage", "")) or row.status.value
    return replace(
        row,
        stage=stage.upper(),
        progress=100 if row.status is JobState.COMPLETED else 0,
        started_at=started or row.finished_at,
        finished_at=finished,
        elapsed_seconds=_between(started, finished),
        foreign="id" not in record,
        error=str(record.get("error", "")),
    )


def problem_of(record: Mapping[str, object]) -> Problem | None:
    """The problem that an error record tells of."""
    if "error" not in record:
        return None
    return Problem(
        code=str(record.get("code", "step-failed")),
        message=str(record.get("error", "")),
        detail=str(record.get("exception", "")),
        remedy=str(record.get("remedy", "")),
        path=str(record.get("path", "")),
    )


def _time(value: object) -> str | None:
    """A record's time, if clients can read it: with a zone, as ours have and hyper2kvm's have not."""
    try:
        stamp = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return str(value) if stamp is not None and stamp.tzinfo is not None and "T" in str(value) else None


def _local_time(value: object) -> str | None:
    """The time of a record of hyper2kvm's, which has no zone and means that of its host."""
    try:
        stamp = datetime.fromisoformat(value) if isinstance(value, str) else None
        return rfc3339_of(stamp.astimezone(UTC)) if stamp is not None and "T" in str(value) else None
    except (ValueError, OverflowError):
        return None


def _since(started: str | None) -> int:
    return _between(started, datetime.now(UTC).isoformat())


def _between(start: str | None, end: str | None) -> int:
    try:
        return max(0, int((datetime.fromisoformat(end or "") - datetime.fromisoformat(start or "")).total_seconds()))
    except (ValueError, TypeError):
        return 0


def _cursor(position: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{position}:{key}".encode("utf-8", "surrogateescape")).decode("ascii")


def _place_of(cursor: str) -> tuple[int, str]:
    """The position after a cursor's row, and the row's key; 0 and nothing without a cursor."""
    try:
        position, _, key = base64.urlsafe_b64decode(cursor).decode("utf-8", "surrogateescape").partition(":")
        return max(0, int(position or 0)), key
    except (binascii.Error, ValueError) as error:
        raise fail("request-invalid", "the cursor is not one that a list gave", path="cursor") from error
