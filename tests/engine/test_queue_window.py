"""What plugins see of the queue is whole, in order, and does not change while they look."""

from __future__ import annotations

from hypersdkd.engine.index import Ended, Index
from hypersdkd.engine.queue_window import QueueWindow
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.moment import today


def test_the_window_of_plugins_shows_everything_once_in_order() -> None:
    index = Index()
    index.set_drop("late", Entry(Verdict.READY, arrived=2))
    index.set_drop("early", Entry(Verdict.READY, arrived=1))
    index.set_drop("waits\n", Entry(Verdict.WAITING, "settling", 7, arrived=0))
    index.set_drop(".hidden", Entry(Verdict.IGNORED, "hidden"))
    index.set_processing("theirs", 2)
    index.set_ended(("failed", today()), "a", Ended(1, cancelled=True))
    index.set_ended(("processed", today()), "b", Ended(1))
    window = QueueWindow(index)
    assert [(entry.name, verdict) for entry, verdict in window.entries()] == [
        ("early", "ready"),
        ("late", "ready"),
        ("waits\\n", "waiting"),
        (".hidden", "ignored"),
        ("theirs", "foreign"),
    ]
    index.set_ended(("failed", today()), "c", Ended(1))
    assert QueueWindow(index).counts() == {
        "to_be_processed": 3,
        "processing": 1,
        "processed": 1,
        "failed": 1,
        "cancelled": 1,
    }
    assert window.counts()["failed"] == 0, "as it was when the window was made"
    assert set(window.left_out.values()) == {0}


def test_the_window_shows_so_many_of_each_verdict_and_counts_the_rest() -> None:
    index = Index()
    for number in range(5):
        index.set_drop(f"{number}", Entry(Verdict.READY, arrived=-number))
        index.set_drop(f".{number}", Entry(Verdict.IGNORED))
    index.set_processing("b", 2)
    index.set_processing("a", 3)
    window = QueueWindow(index, 2)
    assert [entry.name for entry, _verdict in window.entries()] == ["4", "3", ".0", ".1", "a", "b"]
    assert window.left_out == {"ready": 3, "waiting": 0, "ignored": 3, "foreign": 0}


def test_the_window_is_looked_through_while_the_queue_changes() -> None:
    index = Index()
    for number in range(3):
        index.set_drop(f"{number}", Entry(Verdict.READY, arrived=number))
    rows = QueueWindow(index)._rows()
    next(rows)
    for number in range(100, 200):
        index.set_drop(f"{number}", Entry(Verdict.READY, arrived=number))
        index.set_processing(f"{number}", number)
    index.set_drop("1", None)
    assert len(list(rows)) == 2
