"""Live changes read ahead in a thread: waited for with a limit, ended from either side, nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from hypersdkd.client import live
from hypersdkd.client.address import parse_address
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.client.live import LiveChanges
from hypersdkd.model.problem import fail
from tests.problems import raises_problem


class Stream(Daemon):
    """Stands for a daemon: gives what it was made with; blocks at the end until it is hung up on."""

    def __init__(self, *changes: str, ends: Callable[[], None] | None = None) -> None:
        super().__init__(parse_address("http://127.0.0.1:9"))
        object.__setattr__(self, "changes", changes)
        object.__setattr__(self, "ends", ends)
        object.__setattr__(self, "hung_up", threading.Event())

    def live_events(
        self, last_id: str = "", opened: Callable[[Callable[[], None]], None] = lambda hang_up: None
    ) -> Iterator[tuple[str, str, Reply]]:
        opened(self.hung_up.set)
        for change in self.changes:
            yield f"{last_id}{change}", "job", {"id": change}
        if self.ends is not None:
            self.ends()
        else:
            assert self.hung_up.wait(10)


def nobody_reads() -> bool:
    return "live-changes" not in {thread.name for thread in threading.enumerate()}


def test_changes_in_order_and_none_in_time() -> None:
    with LiveChanges(Stream("1", "2"), "x") as changes:
        assert [changes.next(5).id, changes.next(5).data["id"]] == ["x1", "2"]
        assert changes.next(0.01) is None
        assert changes.next(-1) is None
    assert nobody_reads()


def test_an_orderly_end_and_an_error() -> None:
    with LiveChanges(Stream(ends=lambda: None)) as changes, raises_problem("daemon-unreachable", "has ended"):
        changes.next(5)

    def refuse() -> None:
        raise fail("request-refused", "not you")

    with LiveChanges(Stream("1", ends=refuse)) as changes:
        assert changes.next(5) is not None
        with raises_problem("request-refused"):
            changes.next(5)
    assert nobody_reads()


def test_one_who_reads_no_more_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_READ_AHEAD", 2)
    with LiveChanges(Stream(*map(str, range(50)))) as changes:
        assert changes.next(5) is not None
    assert nobody_reads()


def test_closed_before_it_is_open() -> None:
    stream = Stream()
    late = LiveChanges(stream)
    late._closed = True
    late._opened(stream.hung_up.set)
    assert stream.hung_up.is_set()
