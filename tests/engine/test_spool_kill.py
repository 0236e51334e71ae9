"""A kill between any two system calls loses nothing, completes nothing twice, and leaves no second record."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.model.job import JobState
from tests.engine.kill import killed
from tests.engine.queue_state import check_at_rest, contents, end_all, make_queue, recover, spool_of

NEVER = 1 << 30
NAME, CONTENT = "web 01.json", b"the job"


@contextmanager
def queue() -> Iterator[QueueLayout]:
    """A queue in memory where there is such a file system: hundreds are made."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    base = Path(tempfile.mkdtemp(prefix="hypersdkd-test-", dir=memory))
    try:
        yield make_queue(base)
    finally:
        shutil.rmtree(base)


def whole_life(layout: QueueLayout, companions: tuple[str, ...] = ()) -> None:
    """Claimed, failed, retried, claimed, completed."""
    spool = spool_of(layout)
    claim = spool.claim(NAME, companions)
    assert claim is not None
    claim = spool.finish(claim, JobState.FAILED, b"failed")
    claim = spool.retry(claim.id, claim.date, claim.target)
    claim = spool.claim(claim.file, companions)
    assert claim is not None
    assert claim.runs == 2
    spool.finish(claim, JobState.COMPLETED, b"completed")


@pytest.mark.parametrize("links", [False, True], ids=["flag", "links"])
def test_a_life_killed_at_each_system_call(links: bool) -> None:
    at, was_killed = 0, True
    while was_killed:
        at += 1
        with queue() as layout:
            (layout.drop / NAME).write_bytes(CONTENT)
            was_killed = killed(lambda: whole_life(layout), at, links=links)
            killed(lambda: recover(layout), NEVER, links=links)
            assert contents(layout) == {CONTENT: 1}, at
            check_at_rest(layout)
            end_all(layout)
            if (layout.drop / NAME).exists():  # not claimed yet, or pending again
                assert spool_of(layout).claim(NAME) is not None
                end_all(layout)
            assert contents(layout) == {CONTENT: 1}, at
            check_at_rest(layout)
            assert [path.name for path in layout.jobs.iterdir()] == [NAME]
            claim = spool_of(layout).claims.read(NAME)
            assert claim is not None
            assert claim.runs <= 2
    assert at > 60, "nothing was killed"


GROUP = {NAME: CONTENT, "base.vmdk": b"a parent", "base-flat.vmdk": b"its extent"}


def where(layout: QueueLayout) -> dict[str, str]:
    """The place of each file of the group."""
    found = {path.name: path.parent for path in layout.base.rglob("*") if path.name in GROUP and path.is_file()}
    return {name: str(place.relative_to(layout.base)) for name, place in found.items()}


def is_together(layout: QueueLayout) -> bool:
    places = where(layout)
    lead = places.pop(NAME)
    beside = lead if lead in {"to_be_processed", "processing"} else f"{lead}/{NAME}.companions"
    return places == dict.fromkeys([name for name in GROUP if name != NAME], beside)


@pytest.mark.parametrize("links", [False, True], ids=["flag", "links"])
def test_a_group_stays_together_through_a_life_killed_at_each_system_call(links: bool) -> None:
    alive = dict.fromkeys(GROUP.values(), 1)
    companions = tuple(name for name in GROUP if name != NAME)
    at, was_killed = 0, True
    while was_killed:
        at += 1
        with queue() as layout:
            for name, content in GROUP.items():
                (layout.drop / name).write_bytes(content)
            was_killed = killed(lambda: whole_life(layout, companions), at, links=links)
            killed(lambda: recover(layout), NEVER, links=links)
            assert contents(layout) == alive, at
            assert is_together(layout), (at, where(layout))
            check_at_rest(layout)
            end_all(layout)
            if (layout.drop / NAME).exists():
                assert spool_of(layout).claim(NAME, companions) is not None
                end_all(layout)
            assert contents(layout) == alive, at
            assert is_together(layout), (at, where(layout))
            check_at_rest(layout)
    assert at > 100, "nothing was killed"


def test_a_groups_recovery_killed_at_each_system_call() -> None:
    companions = tuple(name for name in GROUP if name != NAME)
    for first in range(10, 150, 13):
        at, was_killed = 0, True
        while was_killed:
            at += 1
            with queue() as layout:
                for name, content in GROUP.items():
                    (layout.drop / name).write_bytes(content)
                killed(lambda: whole_life(layout, companions), first)
                was_killed = killed(lambda: recover(layout), at)
                recover(layout)
                assert contents(layout) == dict.fromkeys(GROUP.values(), 1), (first, at)
                assert is_together(layout), (first, at, where(layout))
                check_at_rest(layout)


def test_a_recovery_killed_at_each_system_call() -> None:
    for first in range(10, 100, 9):
        at, was_killed = 0, True
        while was_killed:
            at += 1
            with queue() as layout:
                (layout.drop / NAME).write_bytes(CONTENT)
                killed(lambda: whole_life(layout), first)
                was_killed = killed(lambda: recover(layout), at)
                recover(layout)
                assert contents(layout) == {CONTENT: 1}, (first, at)
                check_at_rest(layout)


HOSTILE = st.sampled_from([b"a.json", b"b.json", b"-rf.json", b"\xff.json", b"a\nb.json", b"x" * 250 + b".json"])
KILL = st.integers(1, 60)


class QueueMachine(RuleBasedStateMachine):
    """Users drop and take away files; daemons claim, end, retry, and are killed in the midst of it."""

    def __init__(self) -> None:
        super().__init__()
        self._queue = queue()
        self.layout = self._queue.__enter__()
        self.alive: set[bytes] = set()
        self.dropped = 0

    def claims(self, *states: ClaimState) -> list[Claim]:
        return sorted(
            (claim for claim in spool_of(self.layout).claims.all() if claim.state in states), key=lambda claim: claim.id
        )

    def daemon(self, action: Callable[[], object], at: int, again: int) -> None:
        """Do it; killed on the way, a next daemon recovers, and if that one is killed too, the one after it."""
        if killed(action, at) and killed(lambda: recover(self.layout), again):
            recover(self.layout)

    @rule(name=HOSTILE)
    def drop(self, name: bytes) -> None:
        path = self.layout.drop / os.fsdecode(name)
        if not path.exists():
            self.dropped += 1
            content = str(self.dropped).encode()
            path.write_bytes(content)
            self.alive.add(content)

    @precondition(lambda self: any(self.layout.drop.iterdir()))
    @rule(data=st.data())
    def take_away(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.layout.drop.iterdir())))
        self.alive.remove(path.read_bytes())
        path.unlink()

    @precondition(lambda self: any(self.layout.drop.iterdir()))
    @rule(data=st.data(), at=KILL, again=KILL)
    def claim(self, data: st.DataObject, at: int, again: int) -> None:
        names = sorted(os.listdir(self.layout.drop))
        name = data.draw(st.sampled_from(names))
        free = sorted({*names} - {name, *os.listdir(self.layout.processing)})
        along = data.draw(st.lists(st.sampled_from(free), unique=True)) if free else []
        self.daemon(lambda: spool_of(self.layout).claim(name, along), at, again)

    @precondition(lambda self: self.claims(ClaimState.ACTIVE))
    @rule(data=st.data(), at=KILL, again=KILL, cancel=st.booleans())
    def end(self, data: st.DataObject, at: int, again: int, cancel: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims(ClaimState.ACTIVE)))
        outcome = data.draw(st.sampled_from([JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED]))
        spool = spool_of(self.layout)
        if cancel:
            spool.claims.ask_cancel(claim.id)
        self.daemon(lambda: spool.finish(claim, outcome, b"record"), at, again)

    @precondition(lambda self: self.retriable())
    @rule(data=st.data(), at=KILL, again=KILL)
    def retry(self, data: st.DataObject, at: int, again: int) -> None:
        claim = data.draw(st.sampled_from(self.retriable()))
        spool = spool_of(self.layout)
        self.daemon(lambda: spool.retry(claim.id, claim.date, claim.target), at, again)

    def retriable(self) -> list[Claim]:
        return [
            claim
            for claim in self.claims(ClaimState.FINISHED)
            if (self.layout.failed / claim.date / claim.target).is_file() and not (self.layout.drop / claim.id).exists()
        ]

    @invariant()
    def nothing_is_lost_and_nothing_is_twice(self) -> None:
        assert contents(self.layout) == dict.fromkeys(self.alive, 1)
        check_at_rest(self.layout)

    def teardown(self) -> None:
        end_all(self.layout)
        self.nothing_is_lost_and_nothing_is_twice()
        self._queue.__exit__(None, None, None)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
