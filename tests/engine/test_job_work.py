"""A job from its claim to its record, with workers in memory."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hypersdkd.engine import job_work
from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.job_outcome import log_lines
from hypersdkd.engine.workshop import WorkerPlugins
from hypersdkd.model.event import EventType
from hypersdkd.model.job import JobState
from hypersdkd.spec.types import GuestRun
from tests.engine.fake_executor import FakeExecutor, FakeWorker, crash, finish, hang, write
from tests.engine.workbench import batch, disk, manifest, workbench


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


async def test_a_job_is_worked_and_recorded(base: Path) -> None:
    async with workbench(base) as bench:
        bench.drop("web01.json", manifest(disk(base)))
        record = await bench.ended("web01.json")
        assert (record["status"], record["id"], record["manifest"]) == ("completed", "web01.json", "web01")
        assert (record["attempts"], record["runs"]) == (1, 1)
        assert [vm["vm"] for vm in record["vms"]] == ["web01"]  # type: ignore[attr-defined]
        run = bench.executor.runs[0]
        order = json.loads((run.directory / "guest.json").read_text())
        assert order["guest"]["outputs"] == [str(base / "output" / "web01.qcow2")]
        assert "load_disk" in order["plugins"]
        assert bench.shop.outputs_in_use == {}
        assert (bench.shop.slots.in_use, bench.index.active, bench.index.active_files) == (0, {}, set())


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", "document-syntax"), (b"{}", "manifest-required"), (b"[1]", "document-shape"), (b"", "document-syntax")],
)
async def test_a_bad_manifest_fails_without_a_worker(base: Path, content: bytes, code: str) -> None:
    async with workbench(base) as bench:
        bench.drop("a.json", content)
        record = await bench.ended("a.json")
        assert (record["status"], record["code"]) == ("failed", code)
        assert record["remedy"]
        assert bench.executor.runs == []


async def test_a_guest_that_cannot_run_does_not_stop_the_others(base: Path) -> None:
    async with workbench(base) as bench:
        bench.drop("b.json", batch(disk(base), "/nowhere/x.raw", disk(base)))
        record = await bench.ended("b.json")
        assert (record["status"], record["code"], record["vm"]) == ("failed", "batch-failed", "vm1")
        assert "1 of 3 guests failed (vm1)" in str(record["error"])
        assert len(bench.executor.runs) == 2


async def test_a_worker_is_told_the_settings_of_its_plugins(base: Path) -> None:
    async with workbench(base) as bench:
        given: dict[str, dict[str, object]] = {"load_disk": {"a": 1}, "status": {"token": "secret"}}
        bench.shop.worker_plugins = WorkerPlugins.of(bench.plugins, (), given)
        bench.drop("web01.json", manifest(disk(base)))
        await bench.ended("web01.json")
        order = json.loads((bench.executor.runs[0].directory / "guest.json").read_text())
        assert order["plugin_settings"] == {"load_disk": {"a": 1}}


async def test_every_line_of_a_job_has_job_guest_and_stage(base: Path) -> None:
    with capture_logs() as lines:
        async with workbench(base) as bench:
            bench.drop("b.json", batch(disk(base), "/nowhere/x.raw"))
            await bench.ended("b.json")
    told = [line for line in lines if line.get("job") == "b.json"]
    assert all({"vm", "stage"} <= line.keys() for line in told), told
    ends = {(line["event"], line["vm"], line["stage"]) for line in told}
    assert {("claimed", "", ""), ("planned", "", ""), ("guest failed", "vm1", "load")} <= ends
    assert ("job ended", "vm1", "load") in ends
    assert sum(line["event"] == "guest completed" for line in told) == 1


async def test_guests_share_the_slots(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor, slots=2) as bench:
        bench.drop("b.json", batch(*[disk(base)] * 5))
        await bench.until(lambda: len(executor.workers) == 2)
        for number in range(5):
            assert len(executor.workers) - number <= 2
            assert bench.shop.slots.in_use <= 2
            worker = executor.workers[number]
            write(executor.runs[number].directory, EventType.FINISHED)
            worker.status.set_result(0)
            await bench.until(lambda n=number: len(executor.workers) >= min(5, n + 3))
        assert (await bench.ended("b.json"))["status"] == "completed"
        assert bench.shop.slots.in_use == 0


async def test_the_row_of_a_running_job(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor) as bench:
        bench.drop("b.json", batch(disk(base), disk(base), disk(base)))
        await bench.until(lambda: len(executor.workers) == 2)
        work = bench.scheduler.job("b.json")
        assert work is not None
        write(executor.runs[0].directory, EventType.PROGRESS, percent=50, bytes_done=5)
        await bench.until(lambda: any(event.type is EventType.PROGRESS for _job, event in bench.events))
        row = work.summary()
        assert (row.status, row.stage, row.guests_total, row.guests_ended) == (JobState.PROCESSING, "CONVERT", 3, 0)
        assert [guest.percent for guest in row.guests] == [50, 0]
        assert row.progress == (55 + 20 + 0) // 3
        work.reread()


async def test_a_guest_that_prepares_itself_is_starting(base: Path) -> None:
    executor = FakeExecutor([lambda directory: write(directory, EventType.STARTED)])
    async with workbench(base, executor) as bench:
        bench.drop("b.json", manifest(disk(base)))
        await bench.until(lambda: any(event.type is EventType.STARTED for _job, event in bench.events))
        work = bench.scheduler.job("b.json")
        assert work is not None
        assert work.summary().stage == "STARTING"


@pytest.mark.parametrize("running", [True, False], ids=["with running guests", "before any runs"])
async def test_a_cancelled_job_ends_once_nothing_of_it_runs(base: Path, running: bool) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor, slots=2) as bench:
        if not running:
            bench.shop.slots.take()
            bench.shop.slots.take()
            bench.shop.slots.resize(3)
        bench.drop("b.json", batch(*[disk(base)] * 4))
        wanted = 2 if running else 1
        await bench.until(lambda: len(executor.workers) == wanted)
        await bench.service.cancel("b.json")
        record = await bench.ended("b.json")
        assert (record["status"], record["code"]) == ("cancelled", "cancelled")
        assert {vm["status"] for vm in record["vms"]} == {"cancelled"}  # type: ignore[attr-defined]
        assert len(executor.workers) == wanted
        assert bench.shop.slots.in_use == (0 if running else 2)


async def test_what_was_converted_before_a_cancel_stays_on_record(base: Path) -> None:
    executor = FakeExecutor([finish, hang])
    async with workbench(base, executor, slots=1) as bench:
        bench.drop("b.json", batch(disk(base), disk(base)))
        await bench.until(lambda: len(executor.workers) == 2)
        await bench.service.cancel("b.json")
        record = await bench.ended("b.json")
        assert [vm["status"] for vm in record["vms"]] == ["completed", "cancelled"]  # type: ignore[attr-defined]


async def test_the_end_of_the_log_is_in_the_record_of_a_failure(base: Path) -> None:
    def noisy(directory: Path) -> int:
        (directory / "worker.log").write_bytes(b"x" * 20_000 + b"\nlast \x1b[31m words\n")
        write(directory, EventType.STARTED, EventType.FAILED, problem={"code": "no-space", "message": "full"})
        return 1

    async with workbench(base, FakeExecutor([noisy])) as bench:
        bench.drop("a.json", manifest(disk(base)))
        record = await bench.ended("a.json")
        assert (record["code"], record["error"], record["stage"]) == ("no-space", "full", "convert")
        assert record["log_tail"][-1] == "last \\u001b[31m words"  # type: ignore[index]
        assert len(json.dumps(record["log_tail"])) < 20_000


async def test_a_worker_that_crashes_again_and_again_fails_its_job(base: Path) -> None:
    async with workbench(base, FakeExecutor([crash])) as bench:
        bench.drop("a.json", manifest(disk(base)))
        record = await bench.ended("a.json")
        assert (record["code"], record["attempts"]) == ("worker-crashed", 2)


@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "no processes"), RuntimeError("a bug"), KeyError("x")])
async def test_an_executor_that_fails_is_asked_again(
    base: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(job_work, "_STORAGE_RETRY", 0.01)
    executor, failures = FakeExecutor(), [error, error]
    real = executor.start

    async def start(run: GuestRun) -> FakeWorker:
        if failures:
            raise failures.pop()
        return await real(run)

    monkeypatch.setattr(executor, "start", start)
    async with workbench(base, executor) as bench:
        bench.drop("a.json", manifest(disk(base)))
        assert (await bench.ended("a.json"))["status"] == "completed"
        assert bench.shop.slots.in_use == 0


async def test_storage_that_is_full_is_waited_for_calmly_even_by_a_cancelled_job(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_work, "_STORAGE_RETRY", 0.02)
    executor, tries = FakeExecutor([hang]), 0
    async with workbench(base, executor) as bench:
        finish_job = bench.shop.spool.finish

        def full(*arguments: object) -> object:
            nonlocal tries
            tries += 1
            if tries < 4:
                raise OSError(errno.ENOSPC, "full")
            return finish_job(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(bench.shop.spool, "finish", full)
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: executor.workers)
        began = asyncio.get_running_loop().time()
        await bench.service.cancel("a.json")
        assert (await bench.ended("a.json"))["status"] == "cancelled"
        assert asyncio.get_running_loop().time() - began >= 0.05, "it does not spin"
        assert tries == 4


@pytest.mark.parametrize("when", [ClaimState.FINISHING, ClaimState.FINISHED])
@pytest.mark.parametrize("written", [False, True])
async def test_storage_that_fails_in_the_midst_of_the_end_makes_no_second_record(
    base: Path, monkeypatch: pytest.MonkeyPatch, when: ClaimState, written: bool
) -> None:
    monkeypatch.setattr(job_work, "_STORAGE_RETRY", 0.01)
    async with workbench(base) as bench:
        claims, failures = bench.shop.spool.claims, [1]
        real = claims.write

        def failing(claim: Claim) -> Claim:
            if claim.state is when and failures:
                failures.pop()
                if written:
                    real(claim)
                raise OSError(errno.EIO, "Input/output error")
            return real(claim)

        monkeypatch.setattr(claims, "write", failing)
        bench.drop("a.json", manifest(disk(base)))
        record = await bench.ended("a.json")
        assert not failures
        assert record["status"] == "completed"
        assert list(bench.records()) == ["a.json.report.json"]
        assert len(bench.executor.runs) == 1


async def test_a_disk_is_worked_without_a_manifest(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        bench.drop("web01.img", b"disk")
        record = await bench.ended("web01.img")
        assert (record["status"], record["job_id"]) == ("success", "web01")
        order = json.loads((bench.executor.runs[0].directory / "guest.json").read_text())
        assert order["guest"]["disks"][0]["source_type"] == "raw"
        assert record["taken_for"] == "disk"


async def test_a_job_config_is_a_guest_named_after_its_file(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        bench.drop("web02.yaml", f"input: {disk(base)}\noutput_format: vdi\ncompress: true\n".encode())
        record = await bench.ended("web02.yaml")
        assert (record["status"], record["job_id"], record["taken_for"]) == ("success", "web02", "job-config")
        guest = json.loads((bench.executor.runs[0].directory / "guest.json").read_text())["guest"]
        assert (guest["name"], guest["output_format"], guest["compress"]) == ("web02", "vdi", True)
        assert guest["outputs"] == [str(base / "output" / "web02.vdi")]
        assert guest["fix"]["fstab"] == {"enabled": True, "mode": "stabilize-all"}


async def test_a_relative_input_starts_in_the_drop_directory(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        (bench.layout.drop / "exports").mkdir()
        (bench.layout.drop / "exports" / "near.raw").write_bytes(b"disk")
        bench.drop("web.json", b'{"input": "exports/near.raw"}')
        assert (await bench.ended("web.json"))["status"] == "success"
        guest = json.loads((bench.executor.runs[0].directory / "guest.json").read_text())["guest"]
        assert guest["disks"][0]["source_path"] == str(bench.layout.drop / "exports" / "near.raw")


async def test_each_of_a_list_of_jobs_fares_for_itself(base: Path) -> None:
    jobs = [{"input": str(disk(base))}, {"input": str(base.parent / "missing.raw")}, {"input": str(disk(base))}]
    async with workbench(base, mode="disk") as bench:
        bench.drop("friday.json", json.dumps({"jobs": jobs}).encode())
        record = await bench.ended("friday.json")
        assert (record["status"], record["code"], record["job_id"]) == ("failed", "batch-failed", "friday")
        assert (record["vm"], record["path"]) == ("friday_job2", "")
        assert sorted(run.vm for run in bench.executor.runs) == ["friday_job1", "friday_job3"]
        bench.drop("one.json", json.dumps({"jobs": jobs[:1]}).encode())
        assert (await bench.ended("one.json"))["status"] == "success"
        assert bench.executor.runs[-1].vm == "one_job1"


async def test_disk_mode_says_what_it_took_a_document_for(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        for name, content, taken_for, error in [
            ("a.json", b'{"output_format": "raw"}', "job-config", "a.json, taken for a job config: input is required"),
            ("b.json", b'{"pipeline": {}}', "manifest", "b.json, taken for a manifest: version is required"),
            ("c.json", b'{"jobs": []}', "job-config", "c.json, taken for a job config: jobs is empty"),
            ("d.json", b"{bad", "job-config", "d.json: Expecting property name"),
        ]:
            bench.drop(name, content)
            record = await bench.ended(name)
            assert (record["status"], record["taken_for"]) == ("failed", taken_for)
            assert str(record["error"]).startswith(error)
        bench.drop("e.json", manifest(disk(base)))
        record = await bench.ended("e.json")
        assert (record["status"], record["taken_for"]) == ("success", "manifest")


async def test_what_a_plan_finds_wrong_has_a_place_in_manifests_only(base: Path) -> None:
    async with workbench(base, mode="disk") as bench:
        source = str(disk(base))
        (base / "output").mkdir(exist_ok=True)
        for name, content, path in (
            ("a.json", json.dumps({"input": source}).encode(), ""),
            ("b.json", manifest(source), "pipeline.convert.output_path"),
        ):
            (base / "output" / f"{name[0]}.qcow2").touch()
            bench.drop(name, content)
            record = await bench.ended(name)
            assert (record["code"], record["path"]) == ("output-exists", path)


async def test_a_job_file_that_was_taken_away_fails(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        bench.drop("a.json", manifest(disk(base)))
        claim = bench.shop.spool.claim("a.json")
        assert claim is not None
        (bench.layout.processing / "a.json").unlink()
        bench.scheduler._start(claim)
        await bench.until(lambda: bench.records())
        assert bench.records()["a.json.error.json"]["code"] == "source-unreadable"


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    assert list(log_lines(tmp_path, 100)) == []
    (tmp_path / "worker.log").write_bytes(b"first\n" + b"\xff\n" + "é\n".encode() + b"forged\r\x07")
    assert list(log_lines(tmp_path, 100)) == ["first", "\ufffd", "é", "forged", "\\u0007"]
    assert list(log_lines(tmp_path, 3)) == ["d", "\\u0007"]
    assert os.listdir(tmp_path) == ["worker.log"]


async def test_a_job_that_was_about_to_end_ends_as_decided(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        bench.drop("a.json", manifest("/nowhere"))
        claim = bench.shop.spool.claim("a.json")
        assert claim is not None
        (bench.layout.processed / "2026-01-01").mkdir()
        bench.shop.spool.claims.advance(
            claim, ClaimState.FINISHING, outcome="completed", date="2026-01-01", target="a.json"
        )
    async with workbench(base) as bench:
        record = await bench.ended("a.json")
        assert record["status"] == "completed"
        assert bench.executor.runs == []
