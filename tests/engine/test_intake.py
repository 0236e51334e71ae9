"""The intake keeps the index true to the directories, however the changes come and whatever gets lost."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hypersdkd.engine.index import Index
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.readiness import Readiness, Verdict
from hypersdkd.host.inotify import Inotify
from hypersdkd.model.job import JobState
from tests.engine.queue_state import make_queue

DAY = "2026-01-01"
LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")


class Watched:
    """A queue, its index, and an intake that runs."""

    def __init__(self, layout: QueueLayout, poll_interval: float = 3600, settle: float = 3600) -> None:
        self.layout = layout
        self.index = Index()
        self.changed = asyncio.Event()
        rules = Readiness("manifest", settle)
        self.intake = Intake(
            layout, self.index, rules, poll_interval=poll_interval, on_change=lambda: self.changed.set()
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watched]:
        await self.intake.start()
        task = asyncio.create_task(self.intake.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.intake.close()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def ready(self) -> set[str]:
        return {name for name, entry in self.index.pending_in_order() if entry.verdict is Verdict.READY}

    def move_in(self, name: str, directory: Path | None = None, content: str = "{}") -> Path:
        draft = self.layout.scratch / "draft"
        draft.write_text(content)
        return draft.rename((directory or self.layout.drop) / name)


@pytest.fixture
def layout(tmp_path: Path) -> QueueLayout:
    return make_queue(tmp_path / "base")


async def test_the_first_look_finds_everything(layout: QueueLayout) -> None:
    watched = Watched(layout)
    day = layout.failed / DAY
    for directory in (day, layout.processed / DAY):
        directory.mkdir()
    watched.move_in("a.json")
    watched.move_in("theirs.json", layout.processing)
    watched.move_in("done.json", layout.processed / DAY)
    watched.move_in("done.json.report.json", layout.processed / DAY)
    for name, status in (("bad", "failed"), ("stopped", "cancelled")):
        watched.move_in(f"{name}.json", day)
        watched.move_in(f"{name}.json.error.json", day, json.dumps({"status": status}))
    (day / "directory").mkdir()
    async with watched.running():
        assert watched.ready() == {"a.json"}
        assert [name for name, _ in watched.index.foreign()] == ["theirs.json"]
        counts = [watched.index.count_ended(state, DAY) for state in list(JobState)[2:]]
        assert counts == [1, 1, 1]
        assert watched.intake.rescans == {"start": 6}


async def test_what_comes_and_goes_is_seen_at_once(layout: QueueLayout) -> None:
    async with Watched(layout).running() as watched:
        hostile = [os.fsdecode(b"\xff\n.json"), "-rf.json", "x" * 250 + ".json"]
        for name in hostile:
            watched.move_in(name)
        await watched.until(lambda: watched.ready() == set(hostile))
        (layout.drop / "open.json").write_text('{"a"')
        await watched.until(lambda: watched.index.unsettled_names() == ["open.json"])
        (layout.drop / "open.json").write_text('{"a": 1}')
        await watched.until(lambda: "open.json" in watched.ready())
        watched.move_in("theirs.json", layout.processing)
        watched.move_in(".hidden", layout.processing)
        await watched.until(lambda: watched.index.processing_names() == {"theirs.json"})
        (layout.drop / "a.vmdk").touch()
        await watched.until(lambda: "a.vmdk" in watched.index.drop_names())
        assert watched.intake.ignores("a.vmdk")
        assert watched.intake.ignores("none.json")
        assert not watched.intake.ignores("-rf.json")
        for path in (*layout.drop.iterdir(), *layout.processing.iterdir()):
            path.unlink()
        await watched.until(lambda: not watched.index.drop_names() and not watched.index.processing_names())


async def test_a_move_is_told_from_a_creation(layout: QueueLayout) -> None:
    async with Watched(layout).running() as watched:
        watched.move_in("moved.yaml", content="a: 1\n")
        (layout.drop / "written.yaml").write_text("a: 1\n")
        await watched.until(lambda: watched.index.queue_depth() == 2)
        assert watched.ready() == {"moved.yaml"}
        (layout.drop / "moved.yaml").chmod(0o600)
        (layout.drop / "written.yaml").chmod(0o600)
        seen = watched.index.version
        await watched.until(lambda: watched.index.version >= seen + 2)
        assert watched.ready() == {"moved.yaml"}, "a later event does not make it less moved"


@pytest.mark.parametrize("running", [False, True], ids=["at start", "while it runs"])
async def test_five_thousand_files(layout: QueueLayout, running: bool) -> None:
    def drop() -> None:
        for number in range(5000):
            (layout.drop / f"{number}.json").write_bytes(b"{}")

    watched = Watched(layout)
    if not running:
        drop()
    async with watched.running():
        if running:
            await asyncio.to_thread(drop)
        await watched.until(lambda: len(watched.ready()) == 5000)
        assert watched.index.next_ready() == "0.json"


def lose_events(watched: Watched) -> None:
    """inotify says nothing any more."""
    inotify = watched.intake._inotify
    assert inotify is not None
    asyncio.get_running_loop().remove_reader(inotify._inotify.fileno())


async def test_after_an_overflow_everything_is_looked_at(layout: QueueLayout) -> None:
    async with Watched(layout).running() as watched:
        watched.move_in("gone.json")
        await watched.until(lambda: watched.ready() == {"gone.json"})
        lose_events(watched)
        (layout.drop / "gone.json").unlink()
        watched.move_in("new.json")
        (layout.processed / DAY).mkdir()
        watched.move_in("done.json", layout.processed / DAY)
        watched.intake._overflowed()
        await watched.until(lambda: watched.index.where("done.json") is not None)
        assert watched.ready() == {"new.json"}


@pytest.mark.skipif(not os.access(LIMIT, os.W_OK), reason="needs to set the length of inotify's queue")
async def test_a_real_overflow(layout: QueueLayout) -> None:
    watched = Watched(layout)
    before = LIMIT.read_text()
    LIMIT.write_text("16")  # read once, when inotify starts
    try:
        await watched.intake.start()
    finally:
        LIMIT.write_text(before)
    task = asyncio.create_task(watched.intake.run())
    for number in range(100):
        watched.move_in(f"{number}.json")
    await watched.until(lambda: len(watched.ready()) == 100)
    assert watched.intake.rescans["overflow"] >= 4
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    watched.intake.close()


async def test_days_appear_and_vanish(layout: QueueLayout) -> None:
    async with Watched(layout).running() as watched:
        day = layout.processed / DAY
        day.mkdir()
        watched.move_in("one.json", day)
        await watched.until(lambda: watched.index.where("one.json") == ("processed", DAY))
        watched.move_in("two.json", day)
        await watched.until(lambda: watched.index.where("two.json") is not None)
        shutil.rmtree(day)
        await watched.until(lambda: not watched.index.days())
        assert watched.index.where("one.json") is None


async def test_a_day_that_is_made_anew_before_anybody_looked(layout: QueueLayout) -> None:
    async with Watched(layout).running() as watched:
        day = layout.failed / DAY
        day.mkdir()
        watched.move_in("one.json", day)
        await watched.until(lambda: watched.index.where("one.json") is not None)
        shutil.rmtree(day)
        day.mkdir()
        watched.move_in("two.json", day)
        await watched.until(lambda: watched.index.where("two.json") is not None)
        await watched.until(lambda: watched.index.where("one.json") is None)
        watched.move_in("three.json", day)
        await watched.until(lambda: watched.index.where("three.json") is not None)


async def test_a_file_system_without_inotify(layout: QueueLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no watches left")

    monkeypatch.setattr(Inotify, "watch", none_left)
    async with Watched(layout, poll_interval=0.02).running() as watched:
        watched.move_in("a.json")
        await watched.until(lambda: watched.ready() == {"a.json"})
        (layout.processed / DAY).mkdir()
        watched.move_in("done.json", layout.processed / DAY)
        await watched.until(lambda: watched.index.where("done.json") is not None)
        (layout.drop / "a.json").unlink()
        await watched.until(lambda: not watched.index.drop_names())


async def test_what_waits_is_looked_at_again_even_if_there_is_always_something_new(layout: QueueLayout) -> None:
    (layout.drop / "a.yaml").write_text("a: 1\n")
    async with Watched(layout, poll_interval=0.02, settle=0.02).running() as watched:

        async def noise() -> None:
            while True:
                watched.intake.look_at("none.json")
                await asyncio.sleep(0)

        task = asyncio.create_task(noise())
        await watched.until(lambda: watched.ready() == {"a.yaml"})
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_quiet_queue_is_not_looked_at(layout: QueueLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Watched(layout, poll_interval=0.01).running() as watched:
        before = dict(watched.intake.rescans)
        checks = asyncio.Event()
        real, count = watched.intake._safety_check, 0

        async def counted() -> None:
            nonlocal count
            await real()
            count += 1
            if count == 5:
                checks.set()

        monkeypatch.setattr(watched.intake, "_safety_check", counted)
        await asyncio.wait_for(checks.wait(), 10)
        assert dict(watched.intake.rescans) == before


async def test_hostile_records_hold_nothing_up(layout: QueueLayout) -> None:
    day = layout.failed / DAY
    day.mkdir()
    watched = Watched(layout)
    for name in ("fifo", "link", "list", "deep", "cut", "large"):
        watched.move_in(f"{name}.json", day)
    os.mkfifo(day / "fifo.json.error.json")
    (day / "link.json.error.json").symlink_to("/dev/zero")
    (day / "list.json.error.json").write_text('["cancelled"]')
    (day / "deep.json.error.json").write_text("[" * 100_000)
    (day / "cut.json.error.json").write_text('{"status": "cancelled"')
    large = json.dumps({"job_id": "large", "status": "cancelled", "vms": ["x" * (2 << 20)]}, indent=2)
    (day / "large.json.error.json").write_text(large)
    async with watched.running():
        assert watched.index.count_ended(JobState.CANCELLED, DAY) == 1
        assert watched.index.count_ended(JobState.FAILED, DAY) == 5
