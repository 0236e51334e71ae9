"""What a daemon tells of its queue, whoever works it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hypersdkd.engine.claims import Claim, ClaimStore
from hypersdkd.model.event import EventType
from hypersdkd.model.job import JobState
from tests.engine.fake_executor import FakeExecutor, finish, hang, write
from tests.engine.workbench import disk, manifest, workbench
from tests.problems import raises_problem


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


def failing(directory: Path) -> int:
    write(directory, EventType.STARTED, EventType.FAILED, problem={"code": "no-space", "message": "full"})
    return 1


async def test_status_counts_what_there_is(base: Path) -> None:
    executor = FakeExecutor([finish, failing, hang])
    async with workbench(base, executor, slots=1) as bench:
        for number in range(4):
            bench.drop(f"{number}.json", manifest(disk(base), output_path=f"{number}"))
        await bench.until(lambda: len(executor.workers) == 3 and len(bench.records()) == 2)
        bench.drop(".hidden", b"")
        status = await bench.service.status()
        shown = {key: status[key] for key in ("mode", "running", "queue_depth", "active_jobs", "max_workers")}
        assert shown == {"mode": "manifest", "running": True, "queue_depth": 1, "active_jobs": 1, "max_workers": 1}
        assert (status["processed_today"], status["failed_today"], status["workers_running"]) == (1, 1, 1)
        assert isinstance(status["uptime_seconds"], int)
        assert json.dumps(status)


@pytest.mark.parametrize("job", ["none.json", "", ".", "..", "../a", "a/b", "a\0b", "x" * 300, "\udcff", "\ud800"])
async def test_a_job_that_is_not_there(base: Path, job: str) -> None:
    async with workbench(base, run=False) as bench:
        for call in (bench.service.job, bench.service.report, bench.service.cancel, bench.service.retry):
            with raises_problem("job-unknown"):
                await call(job)
        with raises_problem("job-unknown"):
            await bench.service.log(job, 5)
        with raises_problem("job-unknown"):
            await bench.service.events(job)


async def test_foreign_files_are_shown_and_left_alone(base: Path) -> None:
    async with workbench(base) as bench:
        (bench.layout.processing / "theirs.json").write_text("{}")
        await bench.until(lambda: bench.index.foreign())
        detail = await bench.service.job("theirs.json")
        assert (detail.summary.foreign, detail.summary.status) == (True, JobState.PROCESSING)
        with raises_problem("job-state", "another daemon"):
            await bench.service.cancel("theirs.json")
        inspection = await bench.service.queue()
        assert [entry.name for entry in inspection.foreign] == ["theirs.json"]
        assert inspection.counts["processing"] == 1


async def test_a_job_that_is_claimed_while_it_is_looked_for_is_found(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        bench.drop("a.json", manifest(disk(base)))
        claims, read = bench.shop.spool.claims, ClaimStore.read

        def late(store: ClaimStore, job_id: str) -> Claim | None:
            """Not claimed yet, and claimed at once."""
            found = read(store, job_id)
            if found is None:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(ClaimStore, "read", read)
                    bench.shop.spool.claim("a.json")
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClaimStore, "read", late)
            detail = bench.service._between("a.json")
        assert detail.summary.status in {JobState.PENDING, JobState.PROCESSING}
        assert claims.read("a.json") is not None
