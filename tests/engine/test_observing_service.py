"""What an observer tells of another daemon's queue, and what it leaves to that daemon."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hypersdkd.engine.plugin_endpoints import EndpointCalls
from hypersdkd.model.job import JobState
from hypersdkd.model.moment import rfc3339, today
from hypersdkd.model.replies import JobQuery
from hypersdkd.spec.types import Request
from tests.engine.fake_executor import FakeExecutor, finish
from tests.engine.observer import Owner, observer
from tests.engine.workbench import disk, manifest, workbench
from tests.problems import raises_problem

#: As hyper2kvm 0.2.1 writes them: the job's ID is its stem, and times are local and without a zone.
ERROR = {
    "job_id": "a",
    "original_name": "a.json",
    "failed_at": f"{today()}T01:02:03.000004",
    "error": "Disk not found: /srv/a.vmdk",
    "exception": "Traceback …",
    "status": "failed",
}
META = {"job_id": "a", "original_name": "a.json", "completed_at": f"{today()}T01:02:03", "status": "success"}


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    owner = Owner(tmp_path / "base")
    owner.make()
    return owner


async def test_a_job_of_the_owner_in_each_of_its_states(owner: Owner) -> None:
    async with observer(owner.base) as seen:
        service, index = seen.service, seen.work.parts.index
        owner.drop("a.json", b"not even JSON: that is for the owner to say")
        await seen.until(index.queue_depth)
        detail = await service.job("a.json")
        assert (detail.summary.status, detail.summary.stage) == (JobState.PENDING, "PENDING")

        owner.claim("a.json")
        await seen.until(index.processing_count)
        (row,) = (await service.jobs(JobQuery())).jobs
        assert (row.id, row.status, row.foreign) == ("a.json", JobState.PROCESSING, False)
        detail = await service.job("a.json")
        assert (detail.summary, detail.path) == (row, str(owner.base / "processing" / "a.json"))
        with raises_problem("job-state", "being worked"):
            await service.report("a.json")
        inspection = await service.queue()
        assert (inspection.foreign, inspection.counts["processing"]) == ((), 1)

        day = owner.end("a.json", "failed")
        await seen.until(lambda: "failed" in seen.told("a.json"))
        (day / "a.json.error.json").write_text(json.dumps(ERROR))
        await seen.until(lambda: seen.told("a.json").count("failed") > 1)  # there is more to say of it
        detail = await service.job("a.json")
        assert (detail.summary.status, detail.summary.foreign, detail.summary.error) == (
            JobState.FAILED,
            False,
            "Disk not found: /srv/a.vmdk",
        )
        assert detail.problem is not None
        assert (detail.problem.detail, bool(detail.problem.remedy)) == ("Traceback …", True)
        assert await service.report("a.json") == ERROR
        assert list((await service.events("a.json")).events) == list(await service.log("a.json", 10)) == []
        assert list(dict.fromkeys(seen.told("a.json"))) == ["pending", "processing", "failed"]
        assert not any(change.data.get("foreign") for change in seen.heard)


async def test_a_completed_job_and_the_time_of_its_end(owner: Owner) -> None:
    finished = rfc3339(datetime.fromisoformat(META["completed_at"]).astimezone(UTC))
    async with observer(owner.base, mode="disk") as seen:
        owner.drop("web.vmdk")
        os.utime(owner.base / "to_be_processed" / "web.vmdk", (0, 0))
        owner.claim("web.vmdk")
        (owner.end("web.vmdk", "processed") / "web.vmdk.meta.json").write_text(json.dumps(META))
        await seen.until(lambda: "completed" in seen.told("web.vmdk"))
        (row,) = (await seen.service.jobs(JobQuery(states=frozenset({JobState.COMPLETED})))).jobs
        assert row.finished_at == finished, "an old image was not converted in its year"
        assert await seen.service.report("web.vmdk") == META


async def test_a_job_that_is_dropped_again_is_shown_as_what_it_is_now(owner: Owner) -> None:
    async with observer(owner.base) as seen:
        for end in ("failed", "processed"):
            owner.drop("a.json")
            await seen.until(seen.work.parts.index.queue_depth)
            assert (await seen.service.job("a.json")).summary.status is JobState.PENDING
            owner.claim("a.json")
            await seen.until(seen.work.parts.index.processing_count)
            assert (await seen.service.job("a.json")).summary.status is JobState.PROCESSING
            owner.end("a.json", end)
            ended = "failed" if end == "failed" else "completed"
            await seen.until(lambda ended=ended: seen.told("a.json")[-1:] == [ended])
        assert seen.told("a.json")[-1] == "completed"


async def test_what_the_index_has_not_seen_yet_is_found_on_the_disk(owner: Owner) -> None:
    async with observer(owner.base) as seen:
        await seen.work.drain(0)
        seen.work.parts.intake.close()  # from now on it hears of nothing
        owner.drop("a.json")
        assert (await seen.service.job("a.json")).summary.status is JobState.PENDING
        owner.claim("a.json")
        assert (await seen.service.job("a.json")).summary.status is JobState.PROCESSING
        owner.end("a.json", "processed")
        assert (await seen.service.job("a.json")).summary.status is JobState.COMPLETED
        for job in ("b.json", "../a.json", "a\0.json", ""):
            with raises_problem("job-unknown"):
                await seen.service.job(job)


async def test_what_only_the_owner_can_do_is_refused(owner: Owner) -> None:
    async with observer(owner.base) as seen:
        owner.drop("a.json")
        await seen.until(seen.work.parts.index.queue_depth)
        for call in (seen.service.cancel, seen.service.retry):
            with raises_problem("queue-observed", "another daemon"):
                await call("a.json")
            with raises_problem("job-unknown"):
                await call("b.json")
        for switch in (seen.service.pause, seen.service.resume):
            with raises_problem("queue-observed"):
                await switch()
        assert (owner.base / "to_be_processed" / "a.json").exists()


async def test_status_and_readiness(owner: Owner) -> None:
    async with observer(owner.base) as seen:
        status = await seen.service.status()
        shown = {key: status[key] for key in ("executor", "running", "paused", "max_workers", "missing_directories")}
        assert shown == {
            "executor": "observe",
            "running": True,
            "paused": False,
            "max_workers": 3,
            "missing_directories": [],
        }
        assert seen.service.ready() == ""
        await seen.work.drain(0)
        assert seen.service.ready() == "the daemon is stopping"


async def test_beside_a_hypersdkd_its_journals_are_shown(tmp_path: Path) -> None:
    async with workbench(tmp_path / "base", FakeExecutor([finish])) as bench, observer(tmp_path / "base") as seen:
        receipt = await seen.service.submit(manifest(disk(tmp_path / "base")))
        record = await bench.ended(receipt.job_id)
        assert record["status"] == "completed"
        await seen.until(lambda: "completed" in seen.told(receipt.job_id))
        events = (await seen.service.events(receipt.job_id)).events
        assert events == (await bench.service.events(receipt.job_id)).events
        assert "finished" in {event.type.value for event in events}
        assert (await seen.service.job(receipt.job_id)).attempts == 1


async def test_disk_mode_of_the_owner_takes_job_configs_with_absolute_inputs(tmp_path: Path, owner: Owner) -> None:
    source = str(disk(owner.base))
    async with observer(owner.base, mode="disk") as seen:
        with raises_problem("manifest-unsupported", "no manifests"):
            await seen.service.submit(manifest(source))
        with raises_problem("manifest-value", "near.raw"):
            await seen.service.submit(json.dumps({"jobs": [{"input": source}, {"input": "near.raw"}]}).encode())
        receipt = await seen.service.submit(json.dumps({"input": source}).encode())
        assert os.listdir(owner.base / "to_be_processed") == [receipt.job_id]
    async with workbench(owner.base, mode="disk", run=False), observer(owner.base, mode="disk") as seen:
        assert (await seen.service.submit(manifest(source))).job_id.startswith("manifest-")


async def test_what_is_counted_of_a_queue_that_others_work(owner: Owner) -> None:
    owner.drop("a.json")
    async with observer(owner.base) as seen:
        await seen.until(lambda: seen.work.parts.index.queue_depth() == 1)
        calls = EndpointCalls(seen.work.parts, seen.service.view)
        endpoint = next(each for each in calls.all() if each.path == "/metrics")
        text = (await calls.answer(endpoint, Request({}, {}), {})).body.decode()
    assert 'hypersdkd_jobs{state="pending"} 1.0' in text
    assert 'hypersdkd_workers{state="busy"} 0.0' in text
    assert 'hypersdkd_workers{state="idle"} 0.0' in text
