"""The services of a daemon that works its queue: what may be asked of each state of a job, and what is answered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.model.event import EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.replies import JobQuery
from tests.engine.fake_executor import FakeExecutor, finish, hang, write
from tests.engine.workbench import disk, manifest, workbench
from tests.problems import raises_problem


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


def failing(directory: Path) -> int:
    write(directory, EventType.STARTED, EventType.FAILED, problem={"code": "no-space", "message": "full"})
    return 1


async def test_a_job_in_each_of_its_states(base: Path) -> None:
    executor = FakeExecutor([hang, failing, finish])
    async with workbench(base, executor, slots=1) as bench:
        service = bench.service
        await service.pause()
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: bench.index.next_ready())
        detail = await service.job("a.json")
        assert (detail.summary.status, detail.attempts, detail.claimed_at) == (JobState.PENDING, 0, None)
        assert detail.path == str(bench.layout.drop / "a.json")
        with raises_problem("job-state", "not started"):
            await service.report("a.json")
        assert list((await service.events("a.json")).events) == list(await service.log("a.json", 10)) == []

        await service.resume()
        await bench.until(lambda: executor.workers)
        detail = await service.job("a.json")
        assert (detail.summary.status, detail.summary.stage, detail.attempts) == (JobState.PROCESSING, "CONVERT", 1)
        assert detail.claimed_at
        assert (await service.report("a.json"))["status"] == "processing"
        with raises_problem("job-state", "processing"):
            await service.retry("a.json")
        (executor.runs[0].directory / "worker.log").write_text("1\n2\n3\n")
        assert list(await service.log("a.json", 2)) == ["2", "3"]
        assert list(await service.log("a.json", 0)) == []

        await service.cancel("a.json")
        await bench.ended("a.json")
        detail = await service.job("a.json")
        assert (detail.summary.status, detail.path) == (
            JobState.CANCELLED,
            str(bench.layout.failed / detail.summary.date / "a.json"),
        )
        assert detail.problem is not None
        assert detail.problem.code == "cancelled"
        assert [event.type.value for event in (await service.events("a.json")).events][-1] == "cancelled"
        with raises_problem("job-state", "cancelled"):
            await service.cancel("a.json")

        await service.retry("a.json")
        await bench.until(lambda: len(executor.workers) == 2)
        record = await bench.ended("a.json")
        assert (record["code"], record["runs"]) == ("no-space", 2)
        await service.retry("a.json")
        await bench.until(lambda: len(executor.workers) == 3)
        record = await bench.ended("a.json")
        assert (record["status"], record["runs"], await service.report("a.json")) == ("completed", 3, record)
        for call in (service.retry, service.cancel):
            with raises_problem("job-state", "completed"):
                await call("a.json")
        assert [row.id for row in (await service.jobs(JobQuery())).jobs] == ["a.json"]


async def test_a_pending_job_is_cancelled_without_a_worker(base: Path) -> None:
    async with workbench(base) as bench:
        await bench.service.pause()
        (bench.layout.drop / "half.json").write_text('{"version')
        bench.drop("whole.json", manifest(disk(base)))
        await bench.until(lambda: bench.index.queue_depth() == 2)
        for name in ("half.json", "whole.json"):
            await bench.service.cancel(name)
            record = await bench.ended(name)
            assert (record["status"], record["code"]) == ("cancelled", "cancelled")
        assert bench.executor.runs == []
        (today,) = {date for _kind, date in bench.index.days()}
        assert bench.index.count_ended(JobState.CANCELLED, today) == 2


async def test_a_hostile_name_is_worked_under_its_id(base: Path) -> None:
    name = os.fsdecode(b"a\n\xff.json")
    async with workbench(base, FakeExecutor([failing])) as bench:
        await bench.service.pause()
        bench.drop(name, manifest(disk(base)))
        await bench.until(lambda: bench.index.next_ready())
        detail = await bench.service.job("a\\n\\xff.json")
        assert detail.summary.status is JobState.PENDING
        await bench.service.resume()
        await bench.until(lambda: bench.records())
        (record,) = bench.records().values()
        detail = await bench.service.job(str(record["id"]))
        assert detail.original_name == record["original_name"] == "a\\n\\xff.json"
        await bench.until(lambda: not bench.index.active)
        await bench.service.retry(str(record["id"]))
        await bench.until(lambda: len(bench.executor.workers) == 2)


async def test_a_cancel_finds_the_job_that_is_being_claimed(base: Path) -> None:
    async with workbench(base, FakeExecutor([hang])) as bench:
        await bench.service.pause()
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: bench.index.next_ready())
        find, looks = bench.service._crew.scheduler.job, []

        def late(job_id: str) -> object:  # claimed between the look for a running job and the claim to cancel it
            looks.append(job_id)
            return find(job_id) if len(looks) > 3 else None

        await bench.service.resume()
        await bench.until(lambda: bench.executor.workers)
        bench.service._crew.scheduler.job = late  # type: ignore[method-assign]
        bench.index.active.clear()
        await bench.service.cancel("a.json")
        bench.service._crew.scheduler.job = find  # type: ignore[method-assign]
        assert (await bench.ended("a.json"))["status"] == "cancelled"
