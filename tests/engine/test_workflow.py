"""The daemon's services: what may be asked of each state of a job, and what is answered."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from hypersdkd.model.event import EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import ProblemError
from hypersdkd.model.replies import JobQuery, ManifestInvalidError
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


async def test_a_submission_is_a_job_like_any_other(base: Path) -> None:
    async with workbench(base) as bench:
        text = json.dumps({**json.loads(manifest(disk(base))), "name": "web01"}).encode()
        receipt = await bench.service.submit(text)
        assert Path(receipt.manifest_path).parent == bench.layout.drop
        assert (await bench.ended(receipt.job_id))["status"] == "completed"


async def test_what_the_rules_refuse_is_not_submitted(base: Path) -> None:
    async with workbench(base) as bench:
        with pytest.raises(ManifestInvalidError) as raised:
            await bench.service.submit(b"{}")
        assert not raised.value.validation.valid
        assert os.listdir(bench.layout.drop) == []
        validation = await bench.service.validate(manifest("/nowhere"))
        assert validation.valid


async def test_submissions_at_once_are_jobs_of_their_own_unless_they_share_a_key(base: Path) -> None:
    async with workbench(base) as bench:
        await bench.service.pause()
        text = manifest(disk(base))
        receipts = await asyncio.gather(*[bench.service.submit(text) for _ in range(10)])
        assert len({receipt.job_id for receipt in receipts}) == 10
        receipts = await asyncio.gather(*[bench.service.submit(text, "", "key") for _ in range(10)])
        assert len({receipt.job_id for receipt in receipts}) == 1
        assert len(os.listdir(bench.layout.drop)) == 11
        with raises_problem("request-invalid", "Idempotency-Key"):
            await bench.service.submit(manifest("/other"), "", "key")


async def test_a_key_is_known_after_a_restart(base: Path) -> None:
    text = manifest(disk(base))
    async with workbench(base) as bench:
        receipt = await bench.service.submit(text, "", "key")
        assert (await bench.ended(receipt.job_id))["status"] == "completed"
    async with workbench(base) as bench:
        assert await bench.service.submit(text, "", "key") == receipt
        with raises_problem("request-invalid", "Idempotency-Key"):
            await bench.service.submit(text, "", "key", "another name")
        assert (await bench.service.submit(text, "", "other")).job_id != receipt.job_id


async def test_no_more_than_four_large_manifests_are_judged_at_once(base: Path) -> None:
    large = b'{"a": "' + b"x" * 70_000 + b'"}'
    async with workbench(base, run=False) as bench:
        asked = [bench.service.validate(text) for text in (large,) * 6 + (b"{}",) * 6]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(answer, ProblemError) for answer in answers] == [False] * 4 + [True] * 2 + [False] * 6
        refused = answers[4]
        assert isinstance(refused, ProblemError)
        assert (refused.problem.code, refused.retry_after) == ("request-busy", 1)
        assert (await bench.service.validate(large)).parsed


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


async def test_a_queue_of_disks_takes_no_manifest(base: Path) -> None:
    async with workbench(base, mode="disk", run=False) as bench:
        with raises_problem("manifest-unsupported"):
            await bench.service.submit(manifest(disk(base)))
