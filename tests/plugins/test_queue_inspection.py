"""Queue inspection shows each entry once, under its verdict, in claim order."""

from __future__ import annotations

from hypersdkd_plugins.queue_inspection import hypersdkd_inspect_queue

from hypersdkd.engine.index import Index
from hypersdkd.engine.queue_window import QueueWindow
from hypersdkd.engine.readiness import Entry, Verdict


def test_every_entry_is_under_its_verdict() -> None:
    index = Index()
    index.set_drop("second", Entry(Verdict.READY, arrived=2))
    index.set_drop("first", Entry(Verdict.READY, arrived=1))
    index.set_drop("waits", Entry(Verdict.WAITING, "settling"))
    index.set_drop(".hidden", Entry(Verdict.IGNORED, "hidden"))
    index.set_processing("theirs", 1)
    shown = hypersdkd_inspect_queue(QueueWindow(index))
    assert [entry.name for entry in shown.pending] == ["first", "second"]
    assert [(entry.name, entry.reason) for entry in shown.waiting] == [("waits", "settling")]
    assert [(entry.name, entry.reason) for entry in shown.ignored] == [(".hidden", "hidden")]
    assert [entry.name for entry in shown.foreign] == ["theirs"]
    assert shown.counts["to_be_processed"] == 3
