"""One guest from its start to its outcome: crashes are counted, cancels obeyed, workers adopted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hypersdkd.engine import attendant as module
from hypersdkd.engine import journal
from hypersdkd.engine.attendant import Attendant, wait_all
from hypersdkd.engine.guest_files import STAMP, guest_run, temporary_output
from hypersdkd.engine.publication import Placement
from hypersdkd.host.files import try_lock
from hypersdkd.host.inotify import Inotify
from hypersdkd.host.sessions import ProcessStamp, write_stamp
from hypersdkd.model.disk import OutputDisk
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.spec.ports import WorkerEnd
from hypersdkd.spec.types import GuestRun
from tests.engine.fake_executor import FakeExecutor, FakeWorker, crash, finish, hang, write
from tests.engine.guests import left, make_guest, types

Make = Callable[..., Attendant]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """An attendant of the guest below ``tmp_path``."""
    directory, order = make_guest(tmp_path)
    inotify = Inotify(lambda: None)

    def made(executor: FakeExecutor, on_event: Callable[[Event], None] = lambda _event: None) -> Attendant:
        run = guest_run(directory, "web01.json", "web01")
        return Attendant(run, order.guest, executor.as_executor(), inotify, 2, on_event)

    yield made
    inotify.close()


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    return tmp_path / "guest"


async def attended(attendant: Attendant) -> JobState | None:
    await asyncio.wait_for(attendant.attend(), 10)
    return attendant.fold.state


async def test_a_guest_that_is_converted(make: Make, guest: Path) -> None:
    executor, seen = FakeExecutor(), []
    attendant = make(executor, lambda event: seen.append(event.type.value))
    assert await attended(attendant) is JobState.COMPLETED
    assert seen == types(guest) == ["claimed", "started", "stage_started", "finished"]
    assert len(executor.runs) == 1
    await attended(attendant)
    assert len(executor.runs) == 1, "what has ended is not run again"


async def test_events_are_told_while_the_worker_runs(make: Make, guest: Path) -> None:
    executor, told = FakeExecutor([hang]), asyncio.Event()
    attendant = make(executor, lambda event: told.set() if event.type is EventType.PROGRESS else None)
    task = asyncio.create_task(attendant.attend())
    await executor.started.wait()
    write(guest, EventType.PROGRESS, percent=50)
    await asyncio.wait_for(told.wait(), 5)
    assert attendant.fold.progress().percent == 50
    write(guest, EventType.FINISHED)
    executor.workers[0].status.set_result(0)
    await asyncio.wait_for(task, 5)


async def test_a_worker_that_crashes_once_is_run_again(make: Make, guest: Path) -> None:
    executor = FakeExecutor([crash, finish])
    attendant = make(executor)
    assert await attended(attendant) is JobState.COMPLETED
    assert (attendant.fold.crashes, attendant.fold.attempts, len(executor.runs)) == (1, 2, 2)


@pytest.mark.parametrize("work", [crash, lambda _directory: 1], ids=["in the midst", "before it began"])
async def test_a_worker_that_crashes_twice_is_poison(
    make: Make, guest: Path, work: Callable[[Path], int], tmp_path: Path
) -> None:
    final = tmp_path / "output" / "web01-0.qcow2"
    temporary_output(guest, final, 0).write_text("half")
    (guest / "work").mkdir()
    (guest / "work" / "overlay").write_text("half")
    executor = FakeExecutor([work])
    attendant = make(executor)
    assert await attended(attendant) is JobState.FAILED
    assert attendant.fold.problem is not None
    assert attendant.fold.problem.code == "worker-crashed"
    assert "2 times" in attendant.fold.problem.message
    assert len(executor.runs) == 2
    assert left(tmp_path) == []
    assert not (guest / "work").exists()


async def test_daemons_that_die_are_counted_apart_and_forgiven_longer(make: Make, guest: Path) -> None:
    for daemons in range(1, 11):
        write(guest, EventType.STARTED)
        executor = FakeExecutor([hang])
        attendant = make(executor)
        task = asyncio.create_task(attendant.attend())
        if daemons < 10:
            await executor.started.wait()
            assert (attendant.fold.crashes, attendant.fold.interruptions) == (0, daemons)
        else:
            await asyncio.wait_for(task, 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert attendant.fold.problem is not None
    assert attendant.fold.problem.code == "worker-interrupted"


async def test_a_host_that_went_down_counts_as_a_crash(make: Make, guest: Path) -> None:
    write_stamp(guest / STAMP)
    write(guest, EventType.STARTED)
    stamp = ProcessStamp.of(os.getpid())
    assert stamp is not None
    (guest / STAMP).write_text((guest / STAMP).read_text().replace(stamp.boot, "another"))
    attendant = make(FakeExecutor())
    assert await attended(attendant) is JobState.COMPLETED
    assert (attendant.fold.crashes, attendant.fold.interruptions) == (1, 0)


async def test_a_worker_of_a_former_daemon_is_adopted(make: Make, guest: Path) -> None:
    write(guest, EventType.STARTED)
    worker = FakeWorker()
    executor = FakeExecutor(adopted=[worker])
    attendant = make(executor)
    lock = try_lock(guest / "lock")
    assert lock is not None
    assert attendant.runs_already()
    os.close(lock)
    task = asyncio.create_task(attendant.attend())
    await asyncio.sleep(0)
    write(guest, EventType.FINISHED)
    worker.status.set_result(None)
    await asyncio.wait_for(task, 5)
    assert attendant.fold.state is JobState.COMPLETED
    assert executor.runs == []
    assert not attendant.runs_already()
    assert attendant.fold.interruptions == 0


async def test_a_worker_that_finds_another_at_it_is_no_crash(make: Make, guest: Path) -> None:
    other, locks = FakeWorker(), []

    def busy(directory: Path) -> int:
        locks.append(try_lock(directory / "lock"))
        return 75

    executor = FakeExecutor([busy], adopted=[None, other])
    attendant = make(executor)
    task = asyncio.create_task(attendant.attend())
    await executor.started.wait()
    finish(guest)
    os.close(locks[0])
    other.status.set_result(0)
    await asyncio.wait_for(task, 5)
    assert (attendant.fold.state, attendant.fold.crashes) == (JobState.COMPLETED, 0)


async def test_a_cancel_ends_the_worker_and_what_it_left(make: Make, guest: Path, tmp_path: Path) -> None:
    temporary_output(guest, tmp_path / "output" / "web01-0.qcow2", 0).write_text("half")
    (guest / "work").mkdir()
    (guest / "work" / "overlay").write_text("half")
    executor = FakeExecutor([hang])
    attendant = make(executor)
    task = asyncio.create_task(attendant.attend())
    await executor.started.wait()
    await attendant.cancel()
    await asyncio.wait_for(task, 5)
    assert attendant.fold.state is JobState.CANCELLED
    assert (attendant.fold.crashes, len(executor.runs)) == (0, 1)
    assert left(tmp_path) == []
    assert not (guest / "work").exists()


async def test_a_cancel_before_the_start_starts_nothing(make: Make) -> None:
    executor = FakeExecutor()
    attendant = make(executor)
    await attendant.cancel()
    assert await attended(attendant) is JobState.CANCELLED
    assert executor.runs == []


@pytest.mark.parametrize("leaving", [False, True], ids=["cancel", "leave"])
async def test_an_end_that_is_asked_for_while_the_worker_starts(make: Make, leaving: bool) -> None:
    executor = FakeExecutor([hang])
    executor.gate = asyncio.Event()
    attendant = make(executor)
    task = asyncio.create_task(attendant.attend())
    await executor.starting.wait()
    await (attendant.leave(kill=True) if leaving else attendant.cancel())
    executor.gate.set()
    await asyncio.wait_for(task, 5)
    assert executor.workers[0].kills >= 1
    assert attendant.fold.state is (None if leaving else JobState.CANCELLED)


async def test_a_cancel_that_a_former_daemon_was_asked_for_ends_the_adopted_worker(make: Make) -> None:
    worker = FakeWorker()
    attendant = make(FakeExecutor(adopted=[worker]))
    await attendant.cancel()
    assert await attended(attendant) is JobState.CANCELLED
    assert worker.kills == 1


@pytest.mark.parametrize(("renamed", "state"), [(True, JobState.COMPLETED), (False, JobState.CANCELLED)])
async def test_a_cancel_and_a_publication_at_once(
    make: Make, guest: Path, tmp_path: Path, renamed: bool, state: JobState
) -> None:
    final = tmp_path / "output" / "web01-0.qcow2"
    temporary = temporary_output(guest, final, 0)
    temporary.write_text("whole")
    place = Placement.of(OutputDisk(temporary, final, "qcow2", 5), final.parent)

    def publish(directory: Path) -> None:
        write(directory, EventType.STARTED, EventType.PUBLISHING, outputs=[place.as_dict()])
        if renamed:
            temporary.rename(final)

    executor = FakeExecutor([publish])
    attendant = make(executor)
    task = asyncio.create_task(attendant.attend())
    await executor.started.wait()
    await attendant.cancel()
    await asyncio.wait_for(task, 5)
    assert attendant.fold.state is state
    assert left(tmp_path) == (["web01-0.qcow2"] if renamed else [])


@pytest.mark.parametrize("kill", [False, True])
async def test_leaving_starts_nothing_more_and_decides_nothing(make: Make, guest: Path, kill: bool) -> None:
    executor = FakeExecutor([hang])
    attendant = make(executor)
    task = asyncio.create_task(attendant.attend())
    await executor.started.wait()
    await attendant.leave(kill=kill)
    assert executor.workers[0].kills == kill
    if not kill:
        executor.workers[0].status.set_result(-9)
    await asyncio.wait_for(task, 5)
    assert not attendant.ended
    assert types(guest).count("started") == len(executor.runs) == 1


async def test_a_journal_that_cannot_be_watched_is_read_at_the_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(28, "no watches left")

    monkeypatch.setattr(Inotify, "watch", none_left)
    assert await attended(make(FakeExecutor())) is JobState.COMPLETED


async def test_an_error_of_the_storage_is_raised_when_all_have_ended() -> None:
    ended = []

    async def slow() -> None:
        await asyncio.sleep(0)
        ended.append(1)

    async def bad() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        await wait_all([asyncio.ensure_future(bad()), asyncio.ensure_future(slow())])
    assert ended == [1]
    await wait_all([])


async def test_a_worker_that_outlives_the_daemon_is_left_to_the_next_one(make: Make, guest: Path) -> None:
    executor = FakeExecutor([hang], outlives=True)
    attendant = make(executor)
    task = asyncio.create_task(attendant.attend())
    await executor.started.wait()
    await attendant.leave(kill=True)
    await asyncio.wait_for(task, 5)
    (worker,) = executor.workers
    assert (worker.kills, attendant.ended, types(guest).count("recovered")) == (0, False, 0)
    after = make(FakeExecutor(adopted=[worker], outlives=True))
    task = asyncio.create_task(after.attend())
    write(guest, EventType.FINISHED)
    worker.status.set_result(0)
    await asyncio.wait_for(task, 5)
    assert after.fold.state is JobState.COMPLETED
    assert types(guest).count("started") == 1


async def test_a_worker_that_was_stopped_from_outside_is_not_the_guests_fault(make: Make, guest: Path) -> None:
    stopped = WorkerEnd(-15, interrupted=True)

    def stop(directory: Path) -> WorkerEnd:
        write(directory, EventType.STARTED)
        return stopped

    attendant = make(FakeExecutor([stop, stop, stop, finish]))
    assert await attended(attendant) is JobState.COMPLETED
    assert (attendant.fold.crashes, attendant.fold.interruptions) == (0, 3)


async def test_an_end_that_would_come_again_fails_the_guest_at_once(make: Make, guest: Path, tmp_path: Path) -> None:
    def starve(directory: Path) -> WorkerEnd:
        write(directory, EventType.STARTED, EventType.STAGE_STARTED)
        temporary_output(directory, tmp_path / "output" / "web01-0.qcow2", 0).write_text("half")
        return WorkerEnd(-9, problem=Problem("worker-out-of-memory", "no memory"))

    executor = FakeExecutor([starve])
    attendant = make(executor)
    assert await attended(attendant) is JobState.FAILED
    assert attendant.fold.problem is not None
    assert attendant.fold.problem.code == "worker-out-of-memory"
    assert (len(executor.runs), left(tmp_path)) == (1, [])


async def test_how_a_worker_ended_while_there_was_no_daemon_counts(make: Make, guest: Path) -> None:
    crash(guest)
    dead = FakeWorker()
    dead.status.set_result(-11)
    attendant = make(FakeExecutor(adopted=[dead]))
    assert await attended(attendant) is JobState.COMPLETED
    assert (attendant.fold.crashes, attendant.fold.interruptions) == (1, 0)


async def test_an_executor_that_has_no_worker_now_is_waited_for(make: Make, guest: Path) -> None:
    executor = FakeExecutor()
    busy = ProblemError(Problem("worker-unavailable", "later"), retry_after=5.0)

    async def start(_run: GuestRun) -> FakeWorker:
        raise busy

    executor.start = start  # type: ignore[method-assign]
    attendant = make(executor)
    with pytest.raises(ProblemError, match="later"):
        await attended(attendant)
    assert not attendant.ended


@pytest.mark.parametrize("how", ["many lines", "one line", "a line without an end", "progress faster than it is read"])
async def test_a_worker_that_floods_its_journal_is_ended(
    make: Make, guest: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What it writes is kept in the daemon's memory, and parsed in its loop."""
    monkeypatch.setattr(module, "FLOOD", 20_000)
    monkeypatch.setattr(journal, "_AT_ONCE", 1_000)
    monkeypatch.setattr(journal.JournalReader.read, "__defaults__", (1_000,))
    line = b'{"seq":%d,"time":"","vm":"","stage":"","x":"%s","type":"%s"}\n'

    def flood(directory: Path) -> None:
        write(directory, EventType.STARTED)
        content = {
            "many lines": b"".join(line % (number, b"x" * 100, b"warning") for number in range(3, 500)),
            "one line": line % (3, b"x" * 30_000, b"progress"),
            "a line without an end": b"x" * 30_000,
            "progress faster than it is read": b"".join(line % (n, b"", b"progress") for n in range(3, 1000)),
        }[how]
        with (directory / journal.JOURNAL).open("ab") as file:
            file.write(content)

    executor = FakeExecutor([flood])
    attendant = make(executor)
    assert await attended(attendant) is JobState.FAILED
    assert attendant.fold.problem is not None
    assert attendant.fold.problem.code == "worker-flooded"
    assert executor.workers[0].kills
    assert (len(executor.runs), types(guest)[-1]) == (1, "failed")
    assert (guest / journal.JOURNAL).stat().st_size < 32_000, "what was not read is gone"
    assert left(guest.parent) == []


async def test_what_a_day_of_progress_has_left_behind_is_no_flood(
    make: Make, guest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that comes back reads all of it at once."""
    monkeypatch.setattr(module, "FLOOD", 20_000)
    write(guest, EventType.STARTED, EventType.STAGE_STARTED)
    for percent in range(100):
        write(guest, *[EventType.PROGRESS] * 3, percent=percent)
    assert (guest / journal.JOURNAL).stat().st_size > 20_000
    assert await attended(make(FakeExecutor())) is JobState.COMPLETED
