"""The announcer turns what changes in the queue and in its guests into changes for live listeners."""

from __future__ import annotations

import time
from typing import Final

from hypersdkd.engine.broadcast import Broadcast
from hypersdkd.engine.claims import Claim
from hypersdkd.engine.index import ActiveJob, Day, Ended, Index
from hypersdkd.engine.job_rows import active_summary, ended_summary, foreign_summary, pending_summary
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.model.event import VOLATILE_EVENTS, Event
from hypersdkd.model.job import JobSummary
from hypersdkd.model.problem import Problem

#: Least seconds between two rows of a running job that only its progress changed.
_GAP: Final = 0.25


class Announcer:
    """Hears the index and the jobs' events; loop only."""

    def __init__(self, index: Index) -> None:
        self.broadcast = Broadcast()
        """Where it is told."""
        self._index = index
        self._told: dict[str, float] = {}

    # -- from the index -----------------------------------------------------------------------------

    def dropped(self, name: str, before: Entry | None, entry: Entry | None) -> None:
        """An entry of the drop directory was judged, or is gone."""
        if entry is not None and entry.verdict is not Verdict.IGNORED:
            if before is None or (before.verdict, before.reason) != (entry.verdict, entry.reason):
                self._tell(pending_summary(name, entry))
        elif before is not None and before.verdict is not Verdict.IGNORED:
            self._left(name)

    def processing(self, name: str, mtime: int | None) -> None:
        """Another daemon's file in ``processing/`` appeared or went away."""
        if name in self._index.active_files or name in self._index.active_companions:
            return
        if mtime is None:
            self._left(name)
        else:
            self._tell(foreign_summary(name, mtime))

    def ended(self, day: Day, name: str, row: Ended | None) -> None:
        """A job is among the ended ones, or its file is gone: put back for a retry, or tidied away."""
        if row is None:
            gone = {"id": file_name_for_display(name), "status": "gone", "date": day[1]}
            self.broadcast.publish("job", gone)
            return
        self._tell(ended_summary(day, name, row))

    def recorded(self, day: Day, name: str, row: Ended) -> None:
        """A record was written late. Ours is there before the file, so it is not of ours and no news here."""

    def _left(self, name: str) -> None:
        """A file is no longer where it was. Directories are looked at in any order: it may be further on already."""
        day = self._index.where(name)
        row = self._index.ended_row(day, name) if day else None
        if self._index.is_processing(name) and name not in self._index.active_companions:
            return
        if day is not None and row is not None:
            self._tell(ended_summary(day, name, row))
        else:
            self.broadcast.publish("job", {"id": file_name_for_display(name), "status": "gone"})

    # -- from jobs ----------------------------------------------------------------------------------

    def started(self, job: ActiveJob) -> None:
        """A job is being worked."""
        self._tell(active_summary(job))

    def claimed(self, job_id: str, waited: float) -> None:
        """A file of the drop directory was claimed, so many seconds after it had arrived."""
        self.broadcast.publish("claimed", {"job": job_id, "waited_seconds": round(waited, 3)})

    def finished(self, claim: Claim, problem: Problem | None) -> None:
        """A job that we worked has its record."""
        self._told.pop(claim.id, None)
        code = problem.code if problem is not None else ""
        self.broadcast.publish("ended", {"job": claim.id, "status": claim.outcome, "code": code})

    def event(self, job_id: str, event: Event) -> None:
        """A guest's journal has a new line."""
        self.broadcast.publish("guest", {"job": job_id, **event.as_dict()})
        clock = time.monotonic()
        job = self._index.active.get(job_id)
        if job is None or (event.type in VOLATILE_EVENTS and clock - self._told.get(job_id, 0.0) < _GAP):
            return
        self._told[job_id] = clock
        self._tell(active_summary(job))

    def switched(self, **state: object) -> None:
        """Something of the daemon itself was switched: ``paused``, ``draining``."""
        self.broadcast.publish("daemon", state)

    def _tell(self, row: JobSummary) -> None:
        self.broadcast.publish("job", row.as_dict())
