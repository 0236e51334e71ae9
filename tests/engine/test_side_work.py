"""hypersdkd.engine.side_work: done beside the stages, concluded after them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hypersdkd.engine.side_work import SideWork
from hypersdkd.model.problem import fail
from tests.problems import raises_problem


def nothing() -> None: ...


def test_it_goes_on_beside_and_is_concluded_by_who_waits() -> None:
    begun, may_end, told = threading.Event(), threading.Event(), list[object]()

    def work() -> Callable[[], None]:
        begun.set()
        assert may_end.wait(60)
        return lambda: told.append(threading.current_thread())

    with SideWork() as side_work:
        side_work.begin("load", work)
        assert begun.wait(60)
        assert told == []
        may_end.set()
    assert told == [threading.main_thread()]
    assert threading.active_count() == 1 or threading.enumerate()[0] is threading.main_thread()


@pytest.mark.parametrize("late", [False, True], ids=["by the work", "by the rest"])
@pytest.mark.parametrize("stage", [None, fail("qemu-img-failed", "a broken stream")], ids=["alone", "beside a stage"])
def test_what_it_raises_explains_what_a_stage_does(late: bool, stage: Exception | None) -> None:
    def wrong() -> None:
        raise fail("source-checksum", "another file")

    def work() -> Callable[[], None]:
        if not late:
            wrong()
        return wrong

    with raises_problem("source-checksum"), SideWork() as side_work:
        side_work.begin("load", lambda: nothing)
        side_work.begin("inspect", work)
        if stage is not None:
            raise stage
    assert side_work.failed == "inspect"


def test_a_stage_that_fails_alone_is_what_failed() -> None:
    with raises_problem("qemu-img-failed"), SideWork() as side_work:
        side_work.begin("load", lambda: nothing)
        raise fail("qemu-img-failed", "a broken stream")
    assert side_work.failed == ""


def test_nothing_waits_for_it_when_the_program_ends() -> None:
    may_end = threading.Event()

    def work() -> Callable[[], None]:
        assert may_end.wait(60)
        return nothing

    with pytest.raises(KeyboardInterrupt), SideWork() as side_work:
        side_work.begin("load", work)
        raise KeyboardInterrupt
    may_end.set()
    side_work.conclude()
