"""What plugins see of the queue."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Final

from hypersdkd.engine.index import Index, rfc3339
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model import moment
from hypersdkd.model.job import JobState
from hypersdkd.model.replies import QueueEntry

#: Words of queue inspection for each verdict; foreign files have no judgement.
FOREIGN: Final = "foreign"


class QueueWindow:
    """The port through which plugins see the queue: as it is when the window is made, for it is looked through in a
    plugin's thread while the loop goes on changing the index. ``limit`` entries of each verdict are shown at most."""

    def __init__(self, index: Index, limit: int = 1000) -> None:
        self._limit = limit
        self._drop = index.drop_entries()
        self._foreign = index.foreign()
        self._counts = _counts(index)
        totals = {verdict.value: index.count(verdict) for verdict in Verdict} | {FOREIGN: len(self._foreign)}
        self.left_out: Mapping[str, int] = {kind: max(0, total - limit) for kind, total in totals.items()}
        """Entries beyond the limit, by verdict."""

    def entries(self) -> list[tuple[QueueEntry, str]]:
        """Each file with its verdict, in claim order."""
        return list(self._rows())

    def counts(self) -> Mapping[str, int]:
        """Jobs per directory, cancelled ones (which lie in ``failed/``) apart; of the ended ones today's."""
        return self._counts

    def _rows(self) -> Iterator[tuple[QueueEntry, str]]:
        judged: dict[Verdict, list[tuple[int, str]]] = {verdict: [] for verdict in Verdict}
        for name, entry in self._drop.items():
            judged[entry.verdict].append((0 if entry.verdict is Verdict.IGNORED else entry.arrived, name))
        for verdict, places in judged.items():
            for _arrived, name in heapq.nsmallest(self._limit, places):
                yield _queue_entry(name, self._drop[name]), verdict.value
        for name, mtime in heapq.nsmallest(self._limit, self._foreign):
            reason = "in processing/ without a claim of ours"
            yield QueueEntry(file_name_for_display(name), reason, 0, rfc3339(mtime)), FOREIGN


def _counts(index: Index) -> Mapping[str, int]:
    date = moment.today()
    return {
        "to_be_processed": index.queue_depth(),
        "processing": index.processing_count(),
        "processed": index.count_ended(JobState.COMPLETED, date),
        "failed": index.count_ended(JobState.FAILED, date),
        "cancelled": index.count_ended(JobState.CANCELLED, date),
    }


def _queue_entry(name: str, entry: Entry) -> QueueEntry:
    return QueueEntry(file_name_for_display(name), entry.reason, entry.size, rfc3339(entry.arrived))
