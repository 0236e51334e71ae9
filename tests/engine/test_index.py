"""The index counts what it holds, in claim order, whatever is told in whatever order."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.index import Ended, Index, rfc3339
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.job import JobState, JobSummary

entries = st.builds(Entry, verdict=st.sampled_from(Verdict), arrived=st.integers(1, 5))
DAYS = [("processed", "2026-01-01"), ("failed", "2026-01-01"), ("failed", "2026-01-02")]


@dataclass
class Running:
    name: str
    claimed_at: str = "2026-01-02T03:04:05.000Z"

    def summary(self) -> JobSummary:
        return JobSummary(self.name, JobState.PROCESSING)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | entries), max_size=25))
def test_the_next_is_the_first_ready_one(moves: list[tuple[str, Entry | None]]) -> None:
    index, truth = Index(), {}
    for name, entry in moves:
        index.set_drop(name, entry)
        if entry is None:
            truth.pop(name, None)
        else:
            truth[name] = entry
        ready = [(found.arrived, key) for key, found in truth.items() if found.verdict is Verdict.READY]
        assert index.next_ready() == (min(ready)[1] if ready else None)
        waiting = [key for key, found in truth.items() if found.verdict is Verdict.WAITING]
        assert index.waiting_count() == len(waiting)
        assert set(index.unsettled_names()) == set(waiting)
        assert index.queue_depth() == len(ready) + len(waiting)
        assert [key for key, _ in index.pending_in_order()] == [key for _, key in sorted(ready)] + [
            key for _, key in sorted((truth[key].arrived, key) for key in waiting)
        ]
        assert index.drop_names() == set(truth)


rows = st.builds(Ended, mtime=st.integers(1, 9), cancelled=st.booleans())


@given(st.lists(st.tuples(st.sampled_from(DAYS), st.sampled_from("abc"), st.none() | rows), max_size=25))
def test_ended_jobs_are_counted(moves: list[tuple[tuple[str, str], str, Ended | None]]) -> None:
    index, truth = Index(), {day: {} for day in DAYS}
    for day, name, row in moves:
        index.set_ended(day, name, row)
        if row is None:
            truth[day].pop(name, None)
        else:
            truth[day][name] = row
        cancelled = sum(row.cancelled for kind, date in DAYS[1:] for row in truth[(kind, date)].values())
        assert index.total_ended(JobState.COMPLETED) == len(truth[DAYS[0]])
        assert index.total_ended(JobState.CANCELLED) == cancelled
        assert index.total_ended(JobState.FAILED) == len(truth[DAYS[1]]) + len(truth[DAYS[2]]) - cancelled
        newest = sorted(truth[day], key=lambda key: (-truth[day][key].mtime, key))
        assert [key for key, _ in index.newest_first(day)] == newest
        assert index.ended_row(day, name) == row
    for day in DAYS:
        index.forget_day(day)
    assert index.days() == set()
    assert all(index.where(name) is None for name in "abc")


def test_a_name_is_found_where_it_was_seen_last() -> None:
    index = Index()
    index.set_ended(DAYS[0], "a", Ended(1))
    index.set_ended(DAYS[1], "a", Ended(2))
    assert index.where("a") == DAYS[1]
    index.set_ended(DAYS[0], "a", None)
    assert index.where("a") == DAYS[1]


def test_a_day_that_was_never_there_is_not_made_by_what_is_gone() -> None:
    index = Index()
    index.set_ended(DAYS[0], "a", None)
    assert index.days() == set()


def test_files_in_processing_are_ours_or_foreign() -> None:
    index = Index()
    index.set_processing("ours", 1)
    index.set_processing("theirs", 2)
    index.active["ours"] = Running("ours")
    index.active_files.add("ours")
    assert index.foreign() == [("theirs", 2)]
    assert index.processing_count() == 2
    index.set_processing("theirs", None)
    assert (index.processing_count(), index.processing_names()) == (1, {"ours"})


def test_times_are_utc_to_the_millisecond() -> None:
    assert rfc3339(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(10**21) == "9999-12-31T00:00:00.000Z"  # a file may have any time that its file system holds
    assert rfc3339(-(10**21)) == "0001-01-01T00:00:00.000Z"


def test_names_that_are_no_text_are_found_by_how_they_are_shown_and_forgotten() -> None:
    index, name, shown = Index(), "a\udcff\n.json", "a\\xff\\n.json"
    index.set_drop(name, Entry(Verdict.READY))
    index.set_ended(DAYS[0], name, Ended(1))
    assert (index.drop_name(shown), index.ended_name(shown)) == (name, name)
    assert index.drop_name("none") is None
    index.set_drop(name, None)
    index.set_ended(DAYS[0], name, None)
    assert (index.drop_name(shown), index.ended_name(shown)) == (None, shown)
    assert not index._shown
