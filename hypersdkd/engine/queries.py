"""Job lists and single jobs, answered from the index and, for the rows of one page, from their sidecars."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from hypersdkd.engine.index import Day, Ended, Index
from hypersdkd.engine.job_rows import Listing, rows, search, seconds_between, summary_of
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.records import read_head, read_record
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.moment import rfc3339 as rfc3339_of
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import JobPage, JobQuery

_T = TypeVar("_T")

#: Lists, journals and records that are read at once.
_READERS: Final = 2


class Queries:
    """Reads only; safe to call at any time."""

    def __init__(self, layout: QueueLayout, index: Index) -> None:
        self._layout = layout
        self._index = index
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._searching = asyncio.Semaphore(1)  # a search holds a copy of the index; one reader is left for the others

    async def read(self, call: Callable[[], _T]) -> _T:
        """Run what blocks for long, in threads that only those who ask wait for: the queue's work goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, call)

    async def page(self, query: JobQuery) -> JobPage:
        """One page: pending in claim order, then running, then ended ones, the newest first; or by ``query.sort``."""
        position, key = _place_of(query.cursor)
        if query.q or query.sort or key:
            async with self._searching:
                listing = Listing.of(self._index, query, copied=True)
                found, start, total = await self.read(lambda: search(listing, query, position, key))
        else:  # the common case: a first page, of which nothing beyond its end is looked at
            found = list(islice(rows(Listing.of(self._index, query)), query.limit + 1))
            start, total = 0, self._total(query)
        chosen = found[: query.limit]
        known = [summary_of(row) for row in chosen]
        jobs = await self.read(lambda: tuple(map(self._complete, known)))
        more = bool(chosen) and len(found) > len(chosen)
        return JobPage(jobs, total, _cursor(start + len(chosen), chosen[-1].key) if more else "")

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

    def _complete(self, row: JobSummary) -> JobSummary:
        """Fill in what only the sidecar of an ended job knows."""
        if not row.date:
            return row
        day = ("processed" if row.status is JobState.COMPLETED else "failed", row.date)
        return with_record(row, self.head(day, self._index.ended_name(row.id)))


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
        elapsed_seconds=seconds_between(started, finished),
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


def _cursor(position: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{position}:{key}".encode("utf-8", "surrogateescape")).decode("ascii")


def _place_of(cursor: str) -> tuple[int, str]:
    """The position after a cursor's row, and the row's key; 0 and nothing without a cursor."""
    try:
        position, _, key = base64.urlsafe_b64decode(cursor).decode("utf-8", "surrogateescape").partition(":")
        return max(0, int(position or 0)), key
    except (binascii.Error, ValueError) as error:
        raise fail("request-invalid", "the cursor is not one that a list gave", path="cursor") from error
