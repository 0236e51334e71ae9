"""Lists are paged whole, filtered, and completed from records that may be anything."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine.index import Ended, Index
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.queries import Queries, problem_of
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.replies import SORTS, JobPage, JobQuery
from tests.engine.queue_state import make_queue
from tests.engine.test_index import Running
from tests.problems import raises_problem

DAY = "2026-01-02"
T0, T1 = "2026-01-02T10:00:00.000Z", "2026-01-02T10:01:30.000Z"


@pytest.fixture
def layout(tmp_path: Path) -> QueueLayout:
    return make_queue(tmp_path)


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def queries(layout: QueueLayout, index: Index) -> Queries:
    return Queries(layout, index)


def fill(index: Index) -> None:
    """1,000 pending, 500 waiting, 3 running, 2 foreign, 1,495 ended."""
    for number in range(1500):
        verdict = Verdict.READY if number < 1000 else Verdict.WAITING
        index.set_drop(f"p{number:04}.json", Entry(verdict, arrived=number))
    index.set_drop(".hidden", Entry(Verdict.IGNORED))
    for number in range(3):
        index.active[f"r{number}.json"] = Running(f"r{number}.json")
    for number in range(2):
        index.set_processing(f"f{number}.json", number)
    for number in range(1495):
        kind = ("processed", "failed", "failed")[number % 3]
        day = (kind, f"2026-01-0{1 + number % 2}")
        index.set_ended(day, f"e{number:04}.json", Ended(number, cancelled=number % 3 == 2))


async def all_pages(queries: Queries, query: JobQuery) -> list[JobSummary]:
    rows: list[JobSummary] = []
    cursor = ""
    while True:
        page = await queries.page(replace(query, cursor=cursor))
        rows += page.jobs
        cursor = page.cursor
        if not cursor:
            assert page.total == len(rows)
            return rows


async def test_three_thousand_rows_page_by_page(queries: Queries, index: Index) -> None:
    fill(index)
    rows = await all_pages(queries, JobQuery(limit=700))
    assert len({row.id for row in rows}) == len(rows) == 3000
    assert [row.id for row in rows] == [row.id for row in await all_pages(queries, JobQuery(limit=5000))]
    ids = [row.id for row in rows]
    assert ids[:1500] == sorted(ids[:1500])
    assert [row.stage for row in rows[999:1001]] == ["PENDING", "WAITING"]
    assert ids[1500:1505] == ["r0.json", "r1.json", "r2.json", "f0.json", "f1.json"]
    assert [row.foreign for row in rows[1500:1505]] == [False, False, False, True, True]
    ended = [(row.date, row.id) for row in rows[1505:]]
    assert ended == sorted(ended, reverse=True), "the newest first"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (JobQuery(states=frozenset({JobState.PENDING})), 1500),
        (JobQuery(states=frozenset({JobState.PROCESSING})), 5),
        (JobQuery(states=frozenset({JobState.COMPLETED})), 499),
        (JobQuery(states=frozenset({JobState.FAILED})), 498),
        (JobQuery(states=frozenset({JobState.CANCELLED})), 498),
        (JobQuery(states=frozenset({JobState.FAILED, JobState.CANCELLED})), 996),
        (JobQuery(date="2026-01-01"), 748),
        (JobQuery(date="2026-01-01", states=frozenset({JobState.PENDING})), 0),
        (JobQuery(date="1999-01-01"), 0),
        (JobQuery(q="P000"), 10),
        (JobQuery(q="E1", states=frozenset({JobState.COMPLETED})), 165),
        (JobQuery(q="none"), 0),
    ],
)
async def test_filters(queries: Queries, index: Index, query: JobQuery, count: int) -> None:
    fill(index)
    rows = await all_pages(queries, JobQuery(query.states, query.q, query.date, 300))
    assert len(rows) == count
    if query.states:
        assert {row.status for row in rows} <= query.states


@pytest.mark.parametrize("sort", SORTS)
async def test_orders(queries: Queries, index: Index, sort: str) -> None:
    fill(index)
    index.set_drop("E0500x.json", Entry(Verdict.READY, arrived=7))
    rows = await all_pages(queries, JobQuery(limit=700, sort=sort))
    assert len({row.id for row in rows}) == len(rows) == 3001
    names = [row.id.casefold() for row in rows]
    if "name" in sort:
        assert names == sorted(names, reverse=sort.startswith("-"))
    else:
        if sort == "-time":
            names.reverse()
        ended = [name for name in names if name.startswith("e") and not name.endswith("x.json")]
        assert ended == sorted(ended)
        assert set(names[-3:]) == {"r0.json", "r1.json", "r2.json"}, "what was claimed last"
        assert names.index("e0500x.json") < 25, "all states together"
    found = await all_pages(queries, JobQuery(q="e050", limit=3, sort=sort))
    assert len(found) == 11


async def test_a_page_goes_on_though_the_row_before_it_is_gone(queries: Queries, index: Index) -> None:
    fill(index)
    first = await queries.page(JobQuery(limit=10))
    index.set_drop("p0009.json", None)
    second = await queries.page(JobQuery(limit=10, cursor=first.cursor))
    assert second.jobs[0].id == "p0011.json"
    for name in list(index.drop_names()):
        index.set_drop(name, None)
    third = await queries.page(JobQuery(limit=10, cursor=second.cursor))
    assert len(third.jobs) == 10


async def test_an_edge_page_has_no_cursor(queries: Queries, index: Index) -> None:
    for number in range(4):
        index.set_drop(f"{number}.json", Entry(Verdict.READY, arrived=number))
    assert (await queries.page(JobQuery(limit=4))).cursor == ""
    first = await queries.page(JobQuery(limit=2))
    assert first.cursor
    assert (await queries.page(JobQuery(limit=2, cursor=first.cursor))).cursor == ""
    assert await queries.page(JobQuery(limit=0)) == JobPage((), 4)


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "LTE6YQ"])
async def test_a_cursor_of_nobodys_is_refused(queries: Queries, cursor: str) -> None:
    with raises_problem("request-invalid", "cursor"):
        await queries.page(JobQuery(cursor=cursor))


def record(layout: QueueLayout, kind: str, name: str, content: bytes) -> None:
    day = layout.base / kind / DAY
    day.mkdir(exist_ok=True)
    (day / name).write_bytes(content)


async def test_an_ended_job_is_completed_from_its_record(queries: Queries, index: Index, layout: QueueLayout) -> None:
    ok = {"id": "ok.json", "claimed_at": T0, "completed_at": T1}
    bad = {"id": "bad.json", "claimed_at": T0, "failed_at": T1, "stage": "convert", "error": "full"}
    record(layout, "processed", "ok.json.report.json", json.dumps(ok).encode())
    record(layout, "failed", "bad.json.error.json", json.dumps(bad).encode())
    record(layout, "processed", "theirs.vmdk.meta.json", b'{"status": "success"}')
    for kind, name in (("processed", "ok.json"), ("failed", "bad.json"), ("processed", "theirs.vmdk")):
        index.set_ended((kind, DAY), name, Ended(1_767_348_000_000_000_000))
    rows = {row.id: row for row in (await queries.page(JobQuery())).jobs}
    good = rows["ok.json"]
    assert (good.progress, good.stage, good.started_at, good.finished_at) == (100, "COMPLETED", T0, T1)
    assert (good.elapsed_seconds, good.foreign, good.date) == (90, False, DAY)
    assert (rows["bad.json"].progress, rows["bad.json"].stage, rows["bad.json"].error) == (0, "CONVERT", "full")
    assert rows["theirs.vmdk"].foreign
    assert rows["theirs.vmdk"].started_at == "2026-01-02T10:00:00.000Z", "the file's time, for want of a better"
    assert queries.find_ended("ok.json") == (("processed", DAY), Ended(1_767_348_000_000_000_000))
    assert queries.find_ended("none.json") is None
    assert queries.counts()[JobState.COMPLETED] == 2


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"claimed_at": 5, "stage": []}'])
async def test_a_broken_record_breaks_no_list(
    queries: Queries, index: Index, layout: QueueLayout, content: bytes
) -> None:
    record(layout, "failed", "a.json.error.json", content)
    index.set_ended(("failed", DAY), "a.json", Ended(1))
    (row,) = (await queries.page(JobQuery())).jobs
    assert (row.id, row.status) == ("a.json", JobState.FAILED)
    assert row.elapsed_seconds == 0


async def test_a_record_that_is_a_fifo_or_a_link_holds_nothing_up(
    queries: Queries, index: Index, layout: QueueLayout
) -> None:
    record(layout, "failed", "secret", b'{"error": "secret"}')
    os.mkfifo(layout.failed / DAY / "fifo.json.error.json")
    (layout.failed / DAY / "link.json.error.json").symlink_to(layout.failed / DAY / "secret")
    for name in ("fifo.json", "link.json"):
        index.set_ended(("failed", DAY), name, Ended(1))
    assert [row.error for row in (await queries.page(JobQuery())).jobs] == ["", ""]


async def test_hostile_names_are_shown_harmless(queries: Queries, index: Index) -> None:
    name = os.fsdecode(b"a\n\xff.json")
    index.set_drop(name, Entry(Verdict.READY))
    index.set_processing(name, 1)
    page = await queries.page(JobQuery(q="A\\N"))
    assert [row.id for row in page.jobs] == ["a\\n\\xff.json"] * 2


def test_the_problem_of_a_record() -> None:
    assert problem_of({}) is None
    found = problem_of({"error": "full", "code": "no-space", "exception": "trace", "remedy": "", "path": "a"})
    assert found is not None
    assert (found.code, found.message, found.detail, found.path) == ("no-space", "full", "trace", "a")
    assert found.remedy


async def test_an_ended_job_whose_name_is_no_text_is_shown_and_completed(
    queries: Queries, layout: QueueLayout, index: Index
) -> None:
    name = os.fsdecode(b"\xff.json")
    day = layout.failed / DAY
    day.mkdir()
    (day / f"{name}.error.json").write_text(json.dumps({"status": "failed", "error": "theirs", "failed_at": T1}))
    index.set_ended(("failed", DAY), name, Ended(1))
    (row,) = (await queries.page(JobQuery(frozenset({JobState.FAILED})))).jobs
    assert (row.id, row.error) == ("\\xff.json", "theirs")
    assert index.ended_name(row.id) == name
    assert queries.find_ended(index.ended_name(row.id)) is not None
