"""A full or failing disk at each write of a claim: the job is done all the same, once, without a restart."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hypersdkd.engine import job_work
from hypersdkd.engine.claims import Claim, ClaimState, ClaimStore
from hypersdkd.engine.spool import Spool
from hypersdkd.model.job import JobState
from tests.engine.fake_executor import FakeExecutor, hang
from tests.engine.workbench import Workbench, disk, manifest, workbench
from tests.problems import raises_problem


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


def fail_at(monkeypatch: pytest.MonkeyPatch, point: int, code: int = errno.ENOSPC) -> list[ClaimState]:
    """One write of a claim fails; gives the states whose writes were tried."""
    tried: list[ClaimState] = []
    real = ClaimStore.write

    def write(self: ClaimStore, claim: Claim) -> Claim:
        tried.append(claim.state)
        if len(tried) == point + 1:
            raise OSError(code, "no space left on device")
        return real(self, claim)

    monkeypatch.setattr(ClaimStore, "write", write)
    monkeypatch.setattr(job_work, "_STORAGE_RETRY", 0.01)
    return tried


@asynccontextmanager
async def beating(bench: Workbench) -> AsyncIterator[None]:
    """The scheduler's beat, quicker than in life."""

    async def beat() -> None:
        while True:
            bench.intake.look_at("a.json")
            bench.scheduler.wake()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("point", range(6))
async def test_a_job_survives_a_claim_that_cannot_be_written(
    base: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    tried = fail_at(monkeypatch, point)
    executor = FakeExecutor()
    async with workbench(base, executor) as bench, beating(bench):
        bench.drop("a.json", manifest(disk(base)))
        record = await bench.ended("a.json")
        assert (record["status"], record["id"]) == ("completed", "a.json")
        assert len(tried) > point + 1, "the failure came"
        assert list(bench.records()) == ["a.json.report.json"], "one record"
        assert len(executor.runs) == 1, "one run"
        assert [claim.state for claim in bench.shop.spool.claims.all()] == [ClaimState.FINISHED]
        told = [event.seq for _job, event in bench.events]
        assert told == list(range(1, len(told) + 1)), "each event once, though its journal was read again"
        kinds = [change.kind for change in bench.announcer.broadcast._memory]
        assert kinds.count("ended") == 1
        assert kinds.count("claimed") <= 1, "what is taken up half-way was not picked up in one go"


async def test_there_are_no_more_writes_than_were_tried(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = fail_at(monkeypatch, 99)
    async with workbench(base) as bench:
        bench.drop("a.json", manifest(disk(base)))
        await bench.ended("a.json")
    assert tried == ["claiming", "claimed", "active", "active", "finishing", "finished"]


async def test_a_claim_that_is_refused_leaves_nothing_behind(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with workbench(base, run=False) as bench:
        spool = bench.shop.spool

        def refused(source: Path, target: Path) -> None:
            raise PermissionError(errno.EPERM, "sticky directory")

        monkeypatch.setattr("hypersdkd.engine.spool.rename_into", refused)
        bench.drop("a.json", manifest(disk(base)))
        for _try in range(3):
            with pytest.raises(PermissionError):
                spool.claim("a.json")
        assert list(spool.claims.all()) == []


@pytest.mark.parametrize("point", range(2))
async def test_a_retry_that_cannot_be_written_is_taken_up(
    base: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    source = base.parent / "later.raw"
    async with workbench(base) as bench, beating(bench):
        bench.drop("a.json", manifest(source))
        assert (await bench.ended("a.json"))["status"] == "failed"
        source.write_bytes(b"disk")
        tried = fail_at(monkeypatch, point)
        with raises_problem("queue-unusable", "no space"):
            await bench.service.retry("a.json")
        if point == 0:  # nothing had been done yet: it can be asked for again
            await bench.service.retry("a.json")
        await bench.until(lambda: "a.json.report.json" in bench.records())
        assert list(bench.records()) == ["a.json.report.json"]
        assert tried[0] is ClaimState.RETRYING


async def test_a_restart_does_not_read_again_what_was_planned(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor) as bench:
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: executor.workers)
    (base / "processing" / "a.json").write_text("no manifest any more")
    async with workbench(base) as bench:
        assert (await bench.ended("a.json"))["status"] == "completed"
    assert (base / "processing").is_dir()


async def test_an_error_that_does_not_pass_ends_the_job_with_a_record(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_work, "_STORAGE_RETRY", 0.001)

    async def broken(_run: object) -> None:
        raise RuntimeError("no such farm")

    executor = FakeExecutor()
    executor.adopt = broken  # type: ignore[method-assign,assignment]
    async with workbench(base, executor) as bench:
        bench.drop("a.json", manifest(disk(base)))
        record = await bench.ended("a.json")
    assert (record["status"], record["code"]) == ("failed", "internal")
    assert "no such farm" in str(record["error"])


async def test_a_job_whose_record_cannot_be_written_for_long_is_not_lost(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its work nor giving it up comes to an end; it is taken up again, not left in processing/ unseen."""
    monkeypatch.setattr(job_work, "_STORAGE_RETRY", 0.001)
    real, tried = Spool.finish, []

    def finish(self: Spool, claim: Claim, outcome: JobState, sidecar: bytes) -> Claim:
        tried.append(outcome)
        if len(tried) <= 6:  # five of the work, one of giving up
            raise PermissionError(errno.EPERM, "an administrator has made it immutable")
        return real(self, claim, outcome, sidecar)

    monkeypatch.setattr(Spool, "finish", finish)
    executor = FakeExecutor()
    async with workbench(base, executor) as bench, beating(bench):
        bench.drop("a.json", manifest(disk(base)))
        assert (await bench.ended("a.json"))["status"] == "completed"
    assert (len(tried), len(executor.runs)) == (7, 1)
