"""A submission is in the queue once: with a repeated key, with slow storage, with a kill half-way."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hypersdkd.engine import door as door_module
from hypersdkd.engine.door import Door
from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.key_book import KeyBook
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.plugin_record import PluginRecord
from hypersdkd.engine.plugins import Implementation
from hypersdkd.engine.readiness import Readiness
from hypersdkd.engine.submissions import Submissions
from hypersdkd.model.replies import Receipt
from hypersdkd.spec.ports import DropDirectory
from hypersdkd.spec.types import Submission
from tests.engine.queue_state import make_queue, spool_of
from tests.problems import raises_problem

SUBMISSION = Submission(b"{}", {}, "web01")


class OnePlugin:
    """Stands for the plugins: one that submits."""

    def __init__(self, put: Callable[[DropDirectory], object]) -> None:
        self.put = put
        self.record = PluginRecord("one", "one")

    def implementations(self, _hook: str) -> list[Implementation]:
        return [Implementation(self.record, lambda drop: self.put(drop), ("drop",))]


def put_numbered(drop: DropDirectory) -> Receipt:
    for number in range(100):
        try:
            return drop.put(f"web01-{number}.json", b"{}")
        except FileExistsError:
            continue
    raise AssertionError


class Bench:
    def __init__(self, layout: QueueLayout) -> None:
        self.layout = layout
        self.plugin = OnePlugin(put_numbered)
        self.calls: list[HookCalls] = []

    def start(self, limit: float = 5.0) -> Submissions:
        """The daemon's part of it, started anew."""
        self.calls.append(HookCalls(self.plugin, limit))  # type: ignore[arg-type]
        door = Door(self.layout, spool_of(self.layout).taken, Readiness("manifest", 1).not_for_us)
        return Submissions(self.calls[-1], door, KeyBook(self.layout.private / "keys"))

    def dropped(self) -> list[str]:
        return sorted(os.listdir(self.layout.drop))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(make_queue(tmp_path))
    yield made
    for calls in made.calls:
        calls.close()


async def test_a_known_key_is_answered_whatever_became_of_the_job(bench: Bench) -> None:
    submissions = bench.start()
    first = await submissions.submit(SUBMISSION, "key", "digest")
    assert await submissions.submit(SUBMISSION, "key", "digest") == first
    assert await bench.start().submit(SUBMISSION, "key", "digest") == first
    with raises_problem("request-invalid", "another manifest"):
        await bench.start().submit(SUBMISSION, "key", "other")
    (bench.layout.drop / first.job_id).unlink()  # the job has ended, and its record was tidied away
    assert await bench.start().submit(SUBMISSION, "key", "digest") == first
    assert bench.dropped() == []


async def test_without_a_key_each_is_a_job(bench: Bench) -> None:
    submissions = bench.start()
    for _ in range(2):
        await submissions.submit(SUBMISSION, "", "digest")
    assert bench.dropped() == ["web01-0.json", "web01-1.json"]
    assert not (bench.layout.private / "keys").exists()


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_daemon_that_is_killed_half_way(bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    write_new = door_module.write_new

    def killed(*arguments: object) -> None:
        if moment == "after":
            write_new(*arguments)  # type: ignore[arg-type]
        raise SystemExit

    monkeypatch.setattr(door_module, "write_new", killed)
    with raises_problem("plugin-failed"):
        await bench.start().submit(SUBMISSION, "key", "digest")
    monkeypatch.undo()
    receipt = await bench.start().submit(SUBMISSION, "key", "digest")
    assert bench.dropped() == [receipt.job_id] == ["web01-0.json"]


async def test_a_name_that_another_took_meanwhile_is_not_taken_for_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raced(_scratch: Path, target: Path, _content: bytes) -> None:
        target.write_text("another's")
        raise FileExistsError

    def put_once(drop: DropDirectory) -> Receipt | None:
        return drop.put("web01.json", b"{}")

    monkeypatch.setattr(door_module, "write_new", raced)
    bench.plugin.put = put_once
    with raises_problem("plugin-failed"):
        await bench.start().submit(SUBMISSION, "key", "digest")
    monkeypatch.undo()
    bench.plugin.put = put_numbered
    assert (await bench.start().submit(SUBMISSION, "key", "digest")).job_id == "web01-0.json"


async def test_storage_that_is_slow_is_never_written_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, write_new = threading.Event(), door_module.write_new

    def slow(*arguments: object) -> None:
        gate.wait(20)
        write_new(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(door_module, "write_new", slow)
    submissions = bench.start(limit=0.1)
    for _ in range(2):
        with raises_problem("submission-unknown"):
            await submissions.submit(SUBMISSION, "key", "digest")
    gate.set()
    async with asyncio.timeout(20):
        while not bench.dropped():
            await asyncio.sleep(0.001)
        while submissions._late["key"].under_way:
            await asyncio.sleep(0.001)
    assert (await submissions.submit(SUBMISSION, "key", "digest")).job_id == "web01-0.json"
    assert bench.dropped() == ["web01-0.json"]


async def test_a_plugin_that_dawdles_finds_the_door_shut(bench: Bench) -> None:
    gate, found = threading.Event(), []

    def dawdle(drop: DropDirectory) -> object:
        gate.wait(20)
        try:
            return put_numbered(drop)
        except Exception as error:
            found.append(error)
            raise

    bench.plugin.put = dawdle
    submissions = bench.start(limit=0.1)
    with raises_problem("plugin-failed"):
        await submissions.submit(SUBMISSION, "key", "digest")
    gate.set()
    async with asyncio.timeout(20):
        while not found:
            await asyncio.sleep(0.001)
    assert bench.dropped() == []
    bench.plugin.put = put_numbered
    assert (await submissions.submit(SUBMISSION, "key", "digest")).job_id == "web01-0.json"


async def test_a_plugin_that_fails_after_its_put_has_submitted(bench: Bench) -> None:
    def fail_late(drop: DropDirectory) -> object:
        put_numbered(drop)
        raise ValueError("late")

    bench.plugin.put = fail_late
    receipt = await bench.start().submit(SUBMISSION, "key", "digest")
    assert bench.dropped() == [receipt.job_id]


async def test_keys_that_cannot_be_kept_submit_nothing(bench: Bench) -> None:
    (bench.layout.private / "keys").write_text("in the way")
    with raises_problem("queue-unusable"):
        await bench.start().submit(SUBMISSION, "key", "digest")
    assert bench.dropped() == []
