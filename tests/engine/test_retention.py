"""Only our own notes on ended jobs are cleared away, whole, and never those of a job that lives again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from hypersdkd.engine.claims import ClaimState
from hypersdkd.engine.config import RetentionSettings
from hypersdkd.engine.guest_files import LOCK, WORK
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.retention import Retention
from hypersdkd.engine.spool import Spool
from hypersdkd.host.files import try_lock
from hypersdkd.model.job import JobState
from tests.engine.kill import killed
from tests.engine.queue_state import make_queue, spool_of
from tests.engine.workbench import disk, manifest, workbench

DAY = 86_400
KEEP_ALL = RetentionSettings(days=None, jobs=None)
KEEP_NONE = RetentionSettings(days=None, jobs=0)


@pytest.fixture
def layout(tmp_path: Path) -> QueueLayout:
    return make_queue(tmp_path / "queue")


def retention(
    spool: Spool, limits: RetentionSettings, before: Callable[[], object] = lambda: None
) -> tuple[Retention, ThreadPoolExecutor]:
    """One for a spool alone; ``before`` happens in the spool's thread just before anything is renamed away."""
    thread = ThreadPoolExecutor(1)

    async def in_disk_thread(call: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: (before(), call())[1])

    shop = SimpleNamespace(spool=spool, in_disk_thread=in_disk_thread)
    return Retention(shop, limits), thread  # type: ignore[arg-type]


def sweep(spool: Spool, limits: RetentionSettings, before: Callable[[], object] = lambda: None) -> None:
    made, thread = retention(spool, limits, before)
    with thread:
        asyncio.run(made.sweep())


def job(spool: Spool, name: str, outcome: JobState | None = JobState.COMPLETED, days_ago: float = 0) -> Path:
    """A job of one guest that ended so, or (``None``) runs; its guest's directory."""
    (spool.layout.drop / name).write_text(name)
    claim = spool.claim(name)
    assert claim is not None
    guest = spool.claims.directory(claim.id) / "00001"
    guest.mkdir()
    (guest / "journal.jsonl").write_text("{}")
    if outcome is not None:
        spool.finish(claim, outcome, b"record")
    stamp = (spool.claims.directory(claim.id) / "claim.json").stat().st_mtime - days_ago * DAY
    os.utime(spool.claims.directory(claim.id) / "claim.json", (stamp, stamp))
    return guest


def noted(layout: QueueLayout) -> set[str]:
    return set(os.listdir(layout.jobs))


def users_files(layout: QueueLayout) -> dict[str, bytes]:
    places = [layout.drop, layout.processing, *layout.dated()]
    return {str(path): path.read_bytes() for place in places for path in place.iterdir()}


def test_jobs_that_ended_too_long_ago_are_forgotten_and_no_other(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    job(spool, "old.json", JobState.COMPLETED, days_ago=31)
    job(spool, "old-failed.json", JobState.FAILED, days_ago=400)
    job(spool, "new.json", JobState.FAILED, days_ago=29)
    job(spool, "runs.json", None, days_ago=31)
    job(spool, "again.json", JobState.FAILED)
    claim = spool.claims.read("again.json")
    assert claim is not None
    spool.retry(claim.id, claim.date, claim.target)
    os.utime(spool.claims.directory("again.json") / "claim.json", (1, 1))
    before = users_files(layout)
    sweep(spool, RetentionSettings())
    assert noted(layout) == {"new.json", "runs.json", "again.json"}
    assert users_files(layout) == before
    assert os.listdir(layout.scratch) == []


def test_of_more_jobs_than_are_kept_those_that_ended_last_stay(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    for age in range(120):
        job(spool, f"{age}.json", days_ago=age)
    job(spool, "runs.json", None, days_ago=200)
    sweep(spool, RetentionSettings(days=None, jobs=3))
    assert noted(layout) == {"0.json", "1.json", "2.json", "runs.json"}
    sweep(spool, KEEP_ALL)
    assert len(noted(layout)) == 4
    sweep(spool, KEEP_NONE)
    assert noted(layout) == {"runs.json"}


def test_what_a_killed_worker_left_is_cleared_from_those_that_are_kept(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    ended, runs = job(spool, "ended.json"), job(spool, "runs.json", None)
    for guest in (ended, runs):
        (guest / WORK / "deep").mkdir(parents=True)
        (guest / WORK / "deep" / "overlay").write_text("big")
    linked = job(spool, "linked.json")
    (linked / WORK).symlink_to(layout.processed)
    sweep(spool, RetentionSettings())
    assert not (ended / WORK).exists()
    assert (ended / "journal.jsonl").exists()
    assert (runs / WORK / "deep" / "overlay").exists()
    assert not os.path.lexists(linked / WORK)
    assert len(users_files(layout)) == 5, "a link is not followed"
    assert os.listdir(layout.scratch) == []


@pytest.mark.parametrize("limits", [KEEP_NONE, KEEP_ALL], ids=["the job", "its work"])
def test_a_retry_in_between_keeps_all(layout: QueueLayout, limits: RetentionSettings) -> None:
    spool = spool_of(layout)
    guest = job(spool, "a.json", JobState.FAILED)
    (guest / WORK).mkdir()
    claim = spool.claims.read("a.json")
    assert claim is not None
    sweep(spool, limits, before=lambda: spool.retry("a.json", claim.date, claim.target))
    assert (guest / WORK).exists()
    again = spool.claims.read("a.json")
    assert again is not None
    assert again.state is ClaimState.PENDING
    assert spool.claim("a.json") is not None


def test_a_job_that_ended_again_in_between_counts_anew(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    job(spool, "a.json", JobState.FAILED, days_ago=40)

    def once_more() -> None:
        claim = spool.claims.read("a.json")
        assert claim is not None
        spool.retry("a.json", claim.date, claim.target)
        claim = spool.claim("a.json")
        assert claim is not None
        spool.finish(claim, JobState.FAILED, b"record")

    sweep(spool, RetentionSettings(), before=once_more)
    assert noted(layout) == {"a.json"}


def test_a_worker_that_is_left_keeps_its_job(layout: QueueLayout) -> None:
    spool = spool_of(layout)
    guest = job(spool, "a.json", JobState.FAILED)
    (guest / WORK).mkdir()
    lock = try_lock(guest / LOCK)
    assert lock is not None
    for limits in (KEEP_NONE, KEEP_ALL):
        sweep(spool, limits)
        assert (guest / WORK).exists()
    os.close(lock)
    sweep(spool, KEEP_NONE)
    assert noted(layout) == set()


def test_a_sweep_killed_at_each_system_call_leaves_notes_whole_or_gone(tmp_path: Path) -> None:
    at, was_killed = 0, True
    while was_killed:
        at += 1
        layout = make_queue(tmp_path / str(at))
        spool = spool_of(layout)
        for name in ("a.json", "b.json"):
            job(spool, name)
        before = users_files(layout)
        was_killed = killed(lambda layout=layout: sweep(spool_of(layout), KEEP_NONE), at)  # type: ignore[misc]
        for name in noted(layout):
            assert spool.claims.read(name) is not None
            assert (layout.jobs / name / "00001" / "journal.jsonl").exists()
        layout.clear_scratch()
        sweep(spool, KEEP_NONE)
        assert (noted(layout), os.listdir(layout.scratch)) == (set(), [])
        assert users_files(layout) == before
    assert at > 8, "nothing was killed"


def test_one_that_cannot_be_cleared_away_does_not_keep_the_others(
    layout: QueueLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, rename = spool_of(layout), Path.rename
    for name in ("a.json", "b.json"):
        job(spool, name)

    def refuse(self: Path, target: Path) -> Path:
        if self.name == "a.json":
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with capture_logs() as logs:
        sweep(spool, KEEP_NONE)
    assert noted(layout) == {"a.json"}
    assert ("warning", "Permission denied") in [(line["log_level"], line.get("error")) for line in logs]


async def test_a_forgotten_job_is_listed_shown_and_retried_as_before(tmp_path: Path) -> None:
    base = tmp_path / "queue"
    source = disk(base)
    async with workbench(base) as bench:
        (base / "output").mkdir()
        taken = base / "output" / "web01.qcow2"
        taken.write_text("in the way")
        bench.drop("web01.json", manifest(source, output_path=str(taken)))
        assert (await bench.ended("web01.json"))["code"] == "output-exists"
        await Retention(bench.shop, KEEP_NONE).sweep()
        assert noted(bench.layout) == set()
        detail = await bench.service.job("web01.json")
        assert (detail.summary.status, detail.problem.code if detail.problem else "") == (
            JobState.FAILED,
            "output-exists",
        )
        assert (await bench.service.events("web01.json")).events == ()
        taken.unlink()
        await bench.service.retry("web01.json")
        await bench.until(lambda: "web01.json.report.json" in bench.records())
        assert noted(bench.layout) == {"web01.json"}


async def test_it_looks_at_once_and_when_limits_change_and_bears_trouble(
    layout: QueueLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spool_of(layout)
    job(spool, "old.json", days_ago=31)
    job(spool, "new.json")
    made, thread = retention(spool, RetentionSettings())
    swept, sweep = asyncio.Event(), made.sweep

    async def counted() -> None:
        try:
            await sweep()
        finally:
            swept.set()

    async def looked() -> None:
        await asyncio.wait_for(swept.wait(), 10)
        swept.clear()

    monkeypatch.setattr(made, "sweep", counted)
    running = asyncio.create_task(made.run())
    await looked()
    assert noted(layout) == {"new.json"}
    os.rename(layout.jobs, layout.private / "away")
    with capture_logs() as logs:
        made.keep(KEEP_NONE)
        await looked()
        await asyncio.sleep(0)
    assert [line["log_level"] for line in logs] == ["error"]
    os.rename(layout.private / "away", layout.jobs)
    made.keep(KEEP_NONE)
    await looked()
    assert noted(layout) == set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    thread.shutdown()
