"""Queue inspection: what lies in the drop directory, in claim order, and why some of it is not taken."""

from __future__ import annotations

from hypersdkd.model.replies import QueueEntry, QueueInspection
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import QueueView


@hookimpl
def hypersdkd_inspect_queue(queue: QueueView) -> QueueInspection:
    """Sort the entries by verdict."""
    sorted_by: dict[str, list[QueueEntry]] = {"ready": [], "waiting": [], "ignored": [], "foreign": []}
    for entry, verdict in queue.entries():
        sorted_by[verdict].append(entry)
    return QueueInspection(
        pending=tuple(sorted_by["ready"]),
        waiting=tuple(sorted_by["waiting"]),
        ignored=tuple(sorted_by["ignored"]),
        foreign=tuple(sorted_by["foreign"]),
        counts=queue.counts(),
    )
