"""Rows of lists: the same whether they are looked through at once or from a copy, and no search holds the loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.index import Ended, Index
from hypersdkd.engine.job_rows import JobRow, Listing, rows, search
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.job import JobState
from hypersdkd.model.replies import SORTS, JobQuery
from tests.engine.test_index import Running

#: Enough for a search of 50 ms; a loop that is held for that long is not held for a fifth of it.
MANY = 20_000

names = st.text("abAB", min_size=1, max_size=3)


def fill(index: Index, moves: list[tuple[str, int]]) -> None:
    for number, (name, when) in enumerate(moves):
        if number % 4 == 0:
            index.set_drop(name, Entry(Verdict.WAITING if when % 2 else Verdict.READY, arrived=when))
        elif number % 4 == 1:
            index.set_processing(name, when)
        else:
            day = ("processed" if when % 3 else "failed", f"2026-01-0{1 + when % 2}")
            index.set_ended(day, name, Ended(when, cancelled=when == 6))


@given(
    st.lists(st.tuples(names, st.integers(0, 6)), max_size=20),
    st.sampled_from(("", *SORTS)),
    st.sampled_from(("", "a", "AB")),
    st.integers(1, 4),
)
def test_pages_of_a_search_are_the_whole_list_in_order(
    moves: list[tuple[str, int]], sort: str, part: str, limit: int
) -> None:
    index, query = Index(), JobQuery(q=part, sort=sort, limit=limit)
    fill(index, moves)
    index.active["ab"] = Running("ab")
    listing = Listing.of(index, query, copied=True)
    truth = [row for row in rows(Listing.of(index, query)) if part.casefold() in row.name.casefold()]
    if sort.endswith("name"):
        truth.sort(key=lambda row: row.name.casefold(), reverse=sort.startswith("-"))
    elif sort:
        truth.sort(key=lambda row: row.when, reverse=sort.startswith("-"))
    found: list[JobRow] = []
    for _page in range(len(truth) // limit + 1):
        page, start, total = search(listing, query, len(found), found[-1].key if found else "")
        assert (start, total) == (len(found), len(truth))
        found += page[:limit]
    assert found == truth


def test_a_page_begins_at_its_position_where_the_row_before_it_is_gone() -> None:
    index = Index()
    for number in range(9):
        index.set_drop(f"{number}", Entry(Verdict.READY, arrived=number))
    for sort, expected in (("", "345"), ("-name", "543")):
        query = JobQuery(limit=2, sort=sort)
        page, start, total = search(Listing.of(index, query, copied=True), query, 3, "1/gone")
        assert ("".join(row.name for row in page), start, total) == (expected, 3, 9)


def test_a_copy_shows_what_was_there() -> None:
    index = Index()
    fill(index, [(f"n{number}", number % 7) for number in range(20)])
    query = JobQuery()
    listing, before = Listing.of(index, query, copied=True), list(rows(Listing.of(index, query)))
    for number in range(20):
        index.set_drop(f"n{number}", None)
        index.set_ended(("processed", "2026-01-01"), f"new{number}", Ended(1))
    assert list(rows(listing)) == before


@pytest.mark.parametrize("query", [JobQuery(q="99"), JobQuery(sort="name"), JobQuery(sort="-time")], ids=str)
async def test_a_search_leaves_the_loop_to_others(query: JobQuery) -> None:
    index = Index()
    for number in range(MANY):
        index.set_ended(("processed", "2026-01-02"), f"job-{number * 7919 % MANY}.json", Ended(number))
        index.set_drop(f"new-{number}.json", Entry(Verdict.READY, arrived=number))
    query = replace(query, limit=100)
    list(rows(Listing.of(index, query)))  # the index has its orders, as after the first list
    begun = time.thread_time()
    listing = Listing.of(index, query, copied=True)
    held = time.thread_time() - begun
    taken = await asyncio.to_thread(_thread_seconds, listing, query)
    assert held < taken / 5, "what is done in the loop is little against what the thread does"


def _thread_seconds(listing: Listing, query: JobQuery) -> float:
    begun = time.thread_time()
    search(listing, query, 0, "")
    return time.thread_time() - begun


def test_states_and_dates_leave_out_what_is_not_asked_for() -> None:
    index = Index()
    fill(index, [(f"n{number}", number % 7) for number in range(40)])
    failed = list(rows(Listing.of(index, JobQuery(states=frozenset({JobState.FAILED})))))
    assert failed
    assert all(row.day[0] == "failed" for row in failed)
    assert all(row.day[1] == "2026-01-01" for row in rows(Listing.of(index, JobQuery(date="2026-01-01"))))
