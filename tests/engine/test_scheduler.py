"""What is claimed and when, what a restart takes up, and that a daemon that leaves decides nothing."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.job_work import JobWork
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.engine.scheduler import record_end
from hypersdkd.model.event import EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.spec.types import GuestRun
from tests.engine.fake_executor import FakeExecutor, FakeWorker, finish, hang, write
from tests.engine.workbench import Workbench, disk, manifest, workbench
from tests.problems import raises_problem


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


def claims(bench: Workbench) -> dict[str, ClaimState]:
    return {claim.id: claim.state for claim in bench.shop.spool.claims.all()}


async def test_no_more_is_claimed_than_can_run(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor, slots=2) as bench:
        for number in range(6):
            bench.drop(f"{number}.json", manifest(disk(base), output_path=f"{number}"))
        await bench.until(lambda: len(executor.workers) == 2 and bench.index.queue_depth() == 4)
        assert set(claims(bench)) == {"0.json", "1.json"}, "in the order of their arrival"
        assert sorted(os.listdir(bench.layout.processing)) == ["0.json", "1.json"]
        executor.works = [finish]
        for number in range(2):
            write(executor.runs[number].directory, EventType.FINISHED)
            executor.workers[number].status.set_result(0)
        await bench.until(lambda: bench.index.total_ended(JobState.COMPLETED) == 6)


async def test_a_worker_that_is_being_ended_is_told_of(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor) as bench:
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: len(executor.workers) == 1)
        assert bench.scheduler.trouble() == ""
        executor.workers[0].trouble = "it does nothing"
        assert bench.scheduler.trouble() == f"a.json: {executor.runs[0].vm}: it does nothing"


async def test_a_job_whose_worker_cannot_be_started_now_is_told_of_until_it_can(base: Path) -> None:
    executor = FakeExecutor()
    starts, busy = executor.start, ProblemError(Problem("worker-unavailable", "no socket"), retry_after=0.05)

    opened = asyncio.Event()

    async def start(run: GuestRun) -> FakeWorker:
        if not opened.is_set():
            raise busy
        return await starts(run)

    executor.start = start  # type: ignore[method-assign]
    async with workbench(base, executor) as bench:
        bench.drop("a.json", manifest(disk(base)))
        async with asyncio.timeout(20):
            while bench.scheduler.trouble() != "a.json: no socket":  # which is no change of the index's
                await asyncio.sleep(0.01)
        opened.set()
        await bench.until(lambda: bench.index.total_ended(JobState.COMPLETED) == 1)
        assert bench.scheduler.trouble() == ""


async def test_a_paused_queue_claims_nothing_and_a_pause_survives_a_restart(base: Path) -> None:
    async with workbench(base) as bench:
        await bench.service.pause()
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: bench.index.next_ready() == "a.json")
        assert claims(bench) == {}
        assert bench.service.ready() == "the queue is paused"
    async with workbench(base) as bench:
        assert bench.service.paused
        assert bench.index.next_ready() == "a.json"
        await bench.service.resume()
        assert (await bench.ended("a.json"))["status"] == "completed"
        assert bench.service.ready() == ""


async def test_a_file_that_changed_since_it_was_judged_is_judged_again(base: Path) -> None:
    async with workbench(base, slots=1) as bench:
        bench.shop.slots.shut()
        (bench.layout.drop / "a.json").write_bytes(manifest(disk(base)))
        await bench.until(lambda: bench.index.next_ready() == "a.json")
        with (bench.layout.drop / "a.json").open("ab") as writer:
            bench.shop.slots.reopen()
            await bench.scheduler._claim("a.json")
            entry = bench.index.drop_entry("a.json")
            assert entry is not None
            assert entry.verdict is Verdict.WAITING
            writer.write(b" ")
        assert (await bench.ended("a.json"))["status"] == "completed"


async def test_a_file_that_cannot_be_claimed_waits_and_says_why(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with workbench(base) as bench:
        await bench.service.pause()

        def full(_name: str, _companions: object) -> None:
            raise OSError(28, "No space left on device")

        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: bench.index.next_ready())
        with monkeypatch.context() as patch:
            patch.setattr(bench.shop.spool, "claim", full)
            await bench.scheduler._claim("a.json")
        entry = bench.index.drop_entry("a.json")
        assert entry is not None
        assert "No space left" in entry.reason
        await bench.service.resume()
        bench.intake.look_at("a.json")
        assert (await bench.ended("a.json"))["status"] == "completed"


async def test_what_is_gone_is_forgotten(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        bench.index.set_drop("gone.json", Entry(Verdict.READY))
        await bench.scheduler._claim("gone.json")
        assert bench.index.drop_names() == set()
        with raises_problem("job-unknown"):
            await bench.scheduler.cancel_pending("gone.json")
        assert claims(bench) == {}


async def test_a_daemon_that_leaves_ends_no_job_and_the_next_takes_it_up(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor) as bench:
        bench.drop("a.json", manifest(disk(base)))
        await bench.until(lambda: executor.workers)
    assert executor.workers[0].kills >= 1
    assert not [path for day in bench.layout.dated() for path in day.iterdir()]
    async with workbench(base) as bench:
        record = await bench.ended("a.json")
        assert (record["status"], record["attempts"], record["runs"]) == ("completed", 2, 1)


async def test_a_draining_daemon_lets_its_guests_finish_and_starts_no_other(base: Path) -> None:
    executor = FakeExecutor([hang])
    async with workbench(base, executor, slots=1) as bench:
        for name in ("a.json", "b.json"):
            bench.drop(name, manifest(disk(base), output_path=name))
        await bench.until(lambda: executor.workers)
        drain = asyncio.create_task(bench.scheduler.drain(20))
        await asyncio.sleep(0)
        assert bench.service.ready() == "the daemon is stopping"
        write(executor.runs[0].directory, EventType.FINISHED)
        executor.workers[0].status.set_result(0)
        await asyncio.wait_for(drain, 10)
        assert set(claims(bench)) == {"a.json"}
        assert len(executor.workers) == 1
    async with workbench(base) as bench:
        assert (await bench.ended("a.json"))["status"] == "completed"
        assert (await bench.ended("b.json"))["status"] == "completed"


async def test_foreign_files_are_never_taken_up(base: Path) -> None:
    async with workbench(base) as bench:
        (bench.layout.processing / "theirs.json").write_bytes(manifest(disk(base)))
    async with workbench(base) as bench:
        assert [name for name, _ in bench.index.foreign()] == ["theirs.json"]
        assert list(bench.scheduler.jobs()) == []
    assert os.listdir(bench.layout.processing) == ["theirs.json"]


async def test_an_error_in_a_jobs_work_stops_no_other(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with workbench(base) as bench:

        async def broken(_self: JobWork) -> None:
            raise AssertionError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(JobWork, "run", broken)
            await bench.service.pause()
            bench.drop("a.json", manifest(disk(base), output_path="a"))
            await bench.until(lambda: bench.index.next_ready())
            await bench.scheduler._claim("a.json")
            await asyncio.wait(bench.scheduler._tasks.values())
        await bench.service.resume()
        bench.drop("b.json", manifest(disk(base), output_path="b"))
        assert (await bench.ended("b.json"))["status"] == "completed"


async def test_an_end_whose_file_is_gone_is_no_row(base: Path) -> None:
    async with workbench(base, run=False) as bench:
        bench.drop("a.json", manifest("/nowhere"))
        claim = bench.shop.spool.claim("a.json")
        assert claim is not None
        (bench.layout.processing / "a.json").unlink()
        ended = bench.shop.spool.finish(claim, JobState.FAILED, b"{}")
        record_end(bench.index, lambda kind, date: bench.layout.base / kind / date, bench.announcer.finished)(
            ended, None
        )
        assert bench.index.where("a.json") is None


@pytest.mark.parametrize("then", [JobState.COMPLETED, JobState.CANCELLED])
async def test_the_last_failure_is_told_until_a_job_is_completed(base: Path, then: JobState) -> None:
    async with workbench(base, run=False) as bench:
        ended = record_end(bench.index, lambda kind, date: base / kind / date, lambda _claim, _problem: None)
        failed, other = (
            Claim(name, ClaimState.FINISHED, name, name, "", outcome=outcome.value, date="2026-01-02", target=name)
            for name, outcome in (("a.json", JobState.FAILED), ("b.json", then))
        )
        ended(failed, Problem("worker-hung", "it did nothing"))
        assert bench.index.last_failed == bench.index.last_error == "a.json: it did nothing"
        ended(other, None)
        assert bench.index.last_failed == ("" if then is JobState.COMPLETED else "a.json: it did nothing")
        assert bench.index.last_error == "a.json: it did nothing"


async def test_a_claim_that_cannot_be_taken_up_does_not_hold_up_the_others(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look for it reads all claims, in the thread that moves files."""
    looks = []
    async with workbench(base) as bench:

        def recovered(_known: frozenset[str]) -> list[Claim]:
            looks.append(1)
            bench.scheduler._shaken = True
            time.sleep(0.1)
            return []

        monkeypatch.setattr(bench.scheduler, "_recovered", recovered)
        bench.scheduler._shaken = True
        for number in range(5):
            bench.drop(f"{number}.json", manifest(disk(base), output_path=f"{number}"))
            begun = bench.scheduler.last_round
            bench.scheduler.wake()
            await bench.until(lambda begun=begun: bench.scheduler.last_round > begun)
        assert len(looks) == 1, "the next comes after a second"
        monkeypatch.setattr(bench.scheduler, "_rested_until", 0.0)
        bench.scheduler.wake()
        await bench.until(lambda: len(looks) == 2)
        for number in range(5):
            await bench.ended(f"{number}.json")
