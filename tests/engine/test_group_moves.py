"""Companions go where their lead goes, whoever else puts files under their names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.spool import Spool
from hypersdkd.model.job import JobState
from hypersdkd.model.moment import today
from tests.engine.fake_executor import FakeExecutor, finish, hang
from tests.engine.queue_state import check_at_rest, contents, make_queue, recover, spool_of
from tests.engine.workbench import Workbench, workbench
from tests.problems import raises_problem

LEAD, COMPANIONS = "web.vmdk", ("web-flat.vmdk", "web-ctk.vmdk")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture
def layout(base: Path) -> QueueLayout:
    layout = make_queue(base)
    for name in (LEAD, *COMPANIONS):
        (layout.drop / name).write_text(name)
    return layout


def claimed(spool: Spool) -> Claim:
    claim = spool.claim(LEAD, COMPANIONS)
    assert claim is not None
    return claim


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


# -- the moves themselves --------------------------------------------------------------------------------


def test_a_group_goes_through_the_queue_and_back(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    claim = claimed(spool)
    assert (claim.companions, names(layout.processing)) == (COMPANIONS, {LEAD, *COMPANIONS})
    assert names(layout.drop) == set()
    claim = spool.finish(claim, JobState.FAILED, b"{}")
    day = layout.failed / claim.date
    assert names(day) == {LEAD, f"{LEAD}.error.json", f"{LEAD}.companions"}
    assert names(day / f"{LEAD}.companions") == set(COMPANIONS)
    spool.retry(claim.id, claim.date, claim.target)
    assert names(layout.drop) == {LEAD, *COMPANIONS}
    assert names(day) == set()
    claim = claimed(spool)
    assert (claim.id, claim.runs) == (LEAD, 2)
    claim = spool.finish(claim, JobState.COMPLETED, b"{}")
    assert names(layout.processed / claim.date / f"{LEAD}.companions") == set(COMPANIONS)
    check_at_rest(layout)


def test_a_companion_that_is_gone_is_no_hindrance(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    (layout.drop / COMPANIONS[0]).unlink()
    claim = claimed(spool)
    assert names(layout.processing) == {LEAD, COMPANIONS[1]}
    (layout.processing / COMPANIONS[1]).unlink()
    claim = spool.finish(claim, JobState.COMPLETED, b"{}")
    assert names(layout.processed / claim.date) == {LEAD, f"{LEAD}.report.json"}


def test_another_daemons_file_of_a_companions_name_is_waited_for(layout: QueueLayout) -> None:
    theirs = layout.processing / COMPANIONS[1]
    theirs.write_text("theirs")
    spool = spool_of(layout)
    with pytest.raises(FileExistsError, match=COMPANIONS[1]):
        claimed(spool)
    for _ in range(2):
        claim = spool.claims.read(LEAD)
        assert claim is not None and claim.state is ClaimState.CLAIMED
        assert not (layout.processing / LEAD).exists(), "what lies in processing/ is whole"
        with pytest.raises(FileExistsError):
            spool.recover(claim)
    assert contents(layout) == {LEAD.encode(): 1, b"theirs": 1, **{name.encode(): 1 for name in COMPANIONS}}
    theirs.rename(layout.base / "taken back")
    rested = spool.recover(claim)
    assert rested is not None and rested.state is ClaimState.ACTIVE
    assert {name: (layout.processing / name).read_text() for name in COMPANIONS} == {name: name for name in COMPANIONS}


def test_a_newer_file_that_was_dropped_meanwhile_is_not_taken_for_the_claimed_one(layout: QueueLayout) -> None:
    """The kill came after the companions were taken and before that was recorded."""
    spool = spool_of(layout)
    claim = claimed(spool)
    held = spool.claims.companions(claim.id)
    held.mkdir()
    for name in (LEAD, *COMPANIONS):
        (layout.processing / name).rename(spool.claims.file(claim.id) if name == LEAD else held / name)
        (layout.drop / name).write_text("newer")
    spool.claims.write(replace(claim, state=ClaimState.CLAIMING))
    recover(layout)
    assert {(layout.processing / name).read_text() for name in names(layout.processing)} == {LEAD, *COMPANIONS}
    assert {(layout.drop / name).read_text() for name in names(layout.drop)} == {"newer"}


def test_what_another_put_into_processing_after_the_end_stays(layout: QueueLayout) -> None:
    """The kill came after the companions were laid by and before that was recorded."""
    spool = spool_of(layout)
    claim = spool.finish(claimed(spool), JobState.COMPLETED, b"{}")
    spool.claims.write(replace(claim, state=ClaimState.FINISHING, file=LEAD))
    for name in COMPANIONS:
        (layout.processing / name).write_text("theirs")
    recover(layout)
    assert {(layout.processing / name).read_text() for name in COMPANIONS} == {"theirs"}
    assert names(layout.processed / claim.date / f"{LEAD}.companions") == set(COMPANIONS)


def test_groups_of_the_same_names_end_beside_each_other(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    for number in range(2):
        for name in (LEAD, *COMPANIONS):
            (layout.drop / name).write_text(f"{name} {number}")
        spool.finish(claimed(spool), JobState.FAILED, b"{}")
    day = layout.failed / today()
    second = next(name for name in names(day) if name not in {LEAD} and name.endswith(".vmdk"))
    for number, lead in enumerate((LEAD, second)):
        assert (day / lead).read_text() == f"{LEAD} {number}"
        assert {(day / f"{lead}.companions" / name).read_text() for name in COMPANIONS} == {
            f"{name} {number}" for name in COMPANIONS
        }


def test_a_name_that_another_takes_among_the_ended_jobs_in_that_moment(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    claim = claimed(spool)
    day = layout.failed / today()
    day.mkdir()
    (day / LEAD).write_text("theirs")
    claim = spool.claims.advance(claim, ClaimState.FINISHING, outcome="failed", date=day.name, target=LEAD)
    claim = spool.complete_finish(claim, b"{}")
    assert (claim.target, (day / LEAD).read_text()) == (f"2-{LEAD}", "theirs")
    assert names(day / f"2-{LEAD}.companions") == set(COMPANIONS)
    assert not (day / f"{LEAD}.companions").exists()
    assert names(layout.processing) == set()


def test_a_directory_of_companions_is_no_free_name(layout: QueueLayout) -> None:
    day = layout.failed / today()
    (day / f"{LEAD}.companions").mkdir(parents=True)
    (day / f"{LEAD}.companions" / COMPANIONS[0]).write_text("older")
    spool = spool_of(layout)
    claim = spool.finish(claimed(spool), JobState.FAILED, b"{}")
    assert claim.target == f"2-{LEAD}"
    assert names(day / f"2-{LEAD}.companions") == set(COMPANIONS)


def test_a_retry_uses_a_newer_companion_and_leaves_the_old_one(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    claim = spool.finish(claimed(spool), JobState.FAILED, b"{}")
    (layout.drop / COMPANIONS[0]).write_text("newer")
    spool.retry(claim.id, claim.date, claim.target)
    assert (layout.drop / COMPANIONS[0]).read_text() == "newer"
    assert (layout.drop / COMPANIONS[1]).read_text() == COMPANIONS[1]
    assert names(layout.failed / claim.date / f"{LEAD}.companions") == {COMPANIONS[0]}


def test_a_retry_that_cannot_be_moves_nothing(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    claim = spool.finish(claimed(spool), JobState.FAILED, b"{}")
    (layout.drop / LEAD).write_text("newer")
    with raises_problem("job-state", "waits in the drop directory"):
        spool.retry(claim.id, claim.date, claim.target)
    assert names(layout.drop) == {LEAD}
    assert names(layout.failed / claim.date / f"{LEAD}.companions") == set(COMPANIONS)


def test_a_retry_of_a_record_whose_claim_is_forgotten_brings_all_back(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    claim = spool.finish(claimed(spool), JobState.FAILED, b"{}")
    spool.claims.remove(claim.id)
    aside = layout.failed / claim.date / f"{LEAD}.companions"
    (aside / "sub").mkdir()
    (aside / "link").symlink_to("/etc/passwd")
    spool.retry(claim.id, claim.date, claim.target)
    assert names(layout.drop) == {LEAD, *COMPANIONS}
    assert names(aside) == {"sub", "link"}, "no files of a job's"


def test_a_link_instead_of_the_directory_is_not_followed(layout: QueueLayout, tmp_path: Path) -> None:
    spool = spool_of(layout)
    claim = spool.finish(claimed(spool), JobState.FAILED, b"{}")
    aside = layout.failed / claim.date / f"{LEAD}.companions"
    aside.rename(tmp_path / "elsewhere")
    aside.symlink_to(tmp_path / "elsewhere")
    spool.retry(claim.id, claim.date, claim.target)
    assert names(layout.drop) == {LEAD}
    assert names(tmp_path / "elsewhere") == set(COMPANIONS)


# -- in a running engine ---------------------------------------------------------------------------------


def drop_group(bench: Workbench, *order: str) -> None:
    """A job config and its two disks."""
    for name in order:
        bench.drop(
            name, json.dumps({"jobs": [{"input": "a.raw"}, {"input": "./b.raw"}]}).encode() if "j" in name else b"d"
        )


def drop_group_file(bench: Workbench, name: str) -> None:
    bench.drop(name, json.dumps({"input": "a.raw"}).encode() if name.endswith(".json") else b"disk")


def reason(bench: Workbench, name: str) -> str:
    entry = bench.index.drop_entry(name)
    return entry.reason if entry is not None else ""


async def test_a_job_config_takes_its_disks_along(base: Path) -> None:
    executor = FakeExecutor([hang, finish, finish])
    async with workbench(base, executor, mode="disk", slots=1) as bench:
        bench.index.listener = bench.announcer
        drop_group(bench, "job.json", "a.raw", "b.raw")
        await bench.until(lambda: executor.workers)
        assert names(bench.layout.processing) == {"job.json", "a.raw", "b.raw"}
        paths = [json.loads((run.directory / "guest.json").read_bytes()) for run in executor.runs]
        assert paths[0]["guest"]["disks"][0]["source_path"] == str(bench.layout.processing / "a.raw")
        await bench.until(lambda: bench.index.processing_names() == {"job.json", "a.raw", "b.raw"})
        assert bench.index.foreign() == []
        assert bench.index.processing_count() == 1
        assert bench.index.queue_depth() == 0
        await bench.service.cancel("job.json")
        record = await bench.ended("job.json")
        assert (record["status"], record["companions"]) == ("cancelled", ["a.raw", "b.raw"])
        assert bench.index.active_companions == bench.index.active_files == set()
        await bench.service.retry("job.json")
        await bench.until(lambda: "job.json.meta.json" in bench.records())
        await bench.until(lambda: not bench.index.active)
        assert names(bench.layout.processed / today() / "job.json.companions") == {"a.raw", "b.raw"}
        assert bench.records()["job.json.meta.json"]["companions"] == ["a.raw", "b.raw"]
        told = [change.data for change in bench.announcer.broadcast._memory if change.kind == "job"]
        rows = {row["id"]: row["status"] for row in told}
        assert rows == {"job.json": "completed", "a.raw": "gone", "b.raw": "gone"}


async def test_two_jobs_that_need_one_disk_are_worked_one_after_the_other_or_wait(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        await bench.service.pause()
        for name in ("one.json", "two.json"):
            bench.drop(name, json.dumps({"input": "a.raw"}).encode())
        bench.drop("a.raw", b"disk")
        await bench.until(lambda: "a.raw" in bench.index.drop_names() and bench.index.next_ready() == "one.json")
        await bench.service.resume()
        record = await bench.ended("one.json")
        assert record["companions"] == ["a.raw"]
        await bench.until(lambda: "is not here" in bench.index.drop_entry("two.json").reason)
        bench.drop("a.raw", b"disk again")
        assert (await bench.ended("two.json"))["status"] == "success"


async def test_a_group_whose_names_are_still_worked_is_not_cancelled_half(base: Path) -> None:
    """Its companions could not enter processing/: it would be claimed, stay there, and be worked after all."""
    executor = FakeExecutor([hang, finish])
    async with workbench(base, executor, mode="disk") as bench:
        for name in ("one.json", "a.raw"):
            drop_group_file(bench, name)
        await bench.until(lambda: executor.workers)
        for name in ("a.raw", "two.json"):
            drop_group_file(bench, name)
        await bench.until(lambda: "still in processing/" in reason(bench, "two.json"))
        with raises_problem("job-state", "a.raw is still in processing/"):
            await bench.service.cancel("two.json")
        assert names(bench.layout.drop) == {"a.raw", "two.json"}
        assert bench.index.foreign() == [], "the file that is worked is still known as ours"
        await bench.service.cancel("one.json")
        assert (await bench.ended("one.json"))["status"] == "cancelled"
        assert (await bench.ended("two.json"))["status"] == "success"


async def test_a_cancel_is_sure_before_anything_is_moved(base: Path) -> None:
    """Another daemon has put a companion's name into processing/ just now, and the index does not know it yet."""
    async with workbench(base, mode="disk", run=False) as bench:
        spool = bench.shop.spool
        for name in ("two.json", "a.raw"):
            drop_group_file(bench, name)
        (bench.layout.processing / "a.raw").write_bytes(b"another's")
        with pytest.raises(FileExistsError):
            spool.claim("two.json", ["a.raw"], cancelled=True)
        assert spool.claims.cancel_asked("two.json")
        (bench.layout.processing / "a.raw").unlink()
        (claim,) = spool.claims.all()
        recovered = spool.recover(claim)
        assert recovered is not None
        assert (recovered.state, spool.claims.cancel_asked("two.json")) == (ClaimState.ACTIVE, True)


async def test_a_pending_group_is_cancelled_as_one_without_what_others_need(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        bench.drop(
            "one.json", json.dumps({"jobs": [{"input": "a.raw"}, {"input": "b.raw"}, {"input": "c.raw"}]}).encode()
        )
        bench.drop("two.json", json.dumps({"jobs": [{"input": "a.raw"}, {"input": "d.raw"}]}).encode())
        await bench.until(lambda: bench.index.drop_names() == {"one.json", "two.json"})
        bench.drop("a.raw", b"shared")
        bench.drop("b.raw", b"its own")
        await bench.until(lambda: len(bench.index.drop_names()) == 4)
        await bench.service.cancel("one.json")
        record = await bench.ended("one.json")
        assert (record["status"], record["companions"]) == ("cancelled", ["b.raw"])
        assert names(bench.layout.drop) == {"two.json", "a.raw"}
        assert bench.index.drop_entry("a.raw").reason == "belongs to two.json"


async def test_a_companion_that_changes_before_the_claim_is_waited_for_again(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        await bench.service.pause()
        drop_group(bench, "job.json", "a.raw", "b.raw")
        await bench.until(lambda: bench.index.next_ready())
        (bench.layout.drop / "b.raw").unlink()  # and what tells of it comes too late
        await bench.scheduler._claim("job.json")
        assert bench.index.drop_entry("job.json").reason == "b.raw is not here"
        assert names(bench.layout.drop) == {"job.json", "a.raw"}
        assert bench.index.active_companions == set()


async def test_a_daemon_takes_a_group_up_where_another_left_it(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor, mode="disk") as bench:
        drop_group(bench, "job.json", "a.raw", "b.raw")
        await bench.until(lambda: executor.workers)
    async with workbench(base, FakeExecutor([hang]), mode="disk") as bench:
        await bench.until(lambda: bench.executor.workers)
        assert bench.index.foreign() == []
        assert bench.index.processing_count() == 1
