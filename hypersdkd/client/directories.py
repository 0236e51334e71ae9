"""A queue without its daemon: what its directories alone tell, in the shape of the API's replies.

Names, kinds and times of files are looked at, and the records of failed jobs; nothing is moved or written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.host.files import read_regular
from hypersdkd.model.job import MODE_SUFFIXES, PARTIAL_SUFFIXES, SIDECAR_SUFFIXES, JobState, JobSummary
from hypersdkd.model.moment import rfc3339, today

#: Where the queues of the two modes are unless configured, the Go client's order.
DEFAULT_QUEUES: Final = (Path("/var/lib/hyper2kvm/manifest-workflow"), Path("/var/lib/hyper2kvm/workflow"))

#: The mode of a queue by its directory's name, where that tells.
_MODES: Final = {"manifest-workflow": "manifest", "workflow": "disk"}

#: Each directory and the states of the jobs in it; ended jobs are in a directory a day below it.
_PLACES: Final[Mapping[str, tuple[JobState, ...]]] = {
    "to_be_processed": (JobState.PENDING,),
    "processing": (JobState.PROCESSING,),
    "processed": (JobState.COMPLETED,),
    "failed": (JobState.FAILED, JobState.CANCELLED),
}

#: Bytes of a failed job's record that are read; that of a large batch is larger, and counts as a failure.
_RECORD_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OfflineQueue:
    """The queue at ``base``. A directory that is missing or unreadable counts as empty; :meth:`trouble` tells.

    ``mode`` is ``manifest``, ``disk``, or empty where it is not known; then the files of both are counted.
    """

    base: Path
    mode: str = ""

    def trouble(self) -> str:
        """Why nothing is known of the queue, as a sentence; empty where its directories can be read.

        One of them that is not there is empty: whoever works the queue makes it.
        """
        for directory in ("", *_PLACES):
            path = self.base / directory
            try:
                os.scandir(path).close()
            except FileNotFoundError:
                if not directory:
                    return f"The directory {path} does not exist"
            except OSError as error:
                return f"{path} cannot be read, so its files are not counted: {error.strerror}"
        return ""

    def status(self) -> dict[str, object]:
        """The status reply; ``running`` is false, and what only a daemon knows is zero."""
        counts = self.counts()
        return {
            "mode": self.mode,
            "running": False,
            "queue_depth": counts["to_be_processed"],
            "active_jobs": counts["processing"],
            "processed_today": counts["processed"],
            "failed_today": counts["failed"],
            "max_workers": 0,
            "uptime_seconds": 0,
            "cancelled_today": counts["cancelled"],
            "base_dir": str(self.base),
        }

    def jobs(self, status: str = "all", *, q: str = "", date: str = "") -> list[dict[str, object]]:
        """The rows of a page of the API, for the same filters; without ``date`` the ended ones are today's."""
        wanted = {JobState.PROCESSING} if status == "active" else set(JobState) if status == "all" else {status}
        part = q.casefold()
        rows = [
            self._summary(entry, directory, date or today())
            for directory, states in _PLACES.items()
            if wanted & set(states) and (not date or _is_dated(directory))
            for entry in self._entries(directory, date)
            if part in _text(entry.name).casefold()
        ]
        return [row.as_dict() for row in rows if row.status in wanted]

    def queue(self) -> dict[str, object]:
        """The queue's reply; no reasons are known, so nothing is said to wait or to be ignored."""
        pending = [{"name": _text(entry.name), "reason": ""} for entry in self._entries("to_be_processed")]
        return {"pending": pending, "waiting": [], "ignored": [], "foreign": [], "counts": self.counts()}

    def counts(self) -> dict[str, int]:
        """Jobs in each directory, cancelled ones apart; of the ended ones those of today, by the local date."""
        counts = {directory: sum(1 for _ in self._entries(directory)) for directory in _PLACES}
        cancelled = sum(_record(entry).get("status") == JobState.CANCELLED for entry in self._entries("failed"))
        return {**counts, "failed": counts["failed"] - cancelled, "cancelled": cancelled}

    def _summary(self, entry: os.DirEntry[str], directory: str, date: str) -> JobSummary:
        name = _text(entry.name)
        if directory == "to_be_processed":
            return JobSummary(name, JobState.PENDING)
        moved = _moved(entry)  # a claim and an end are renames
        if directory == "processing":
            elapsed = 0 if moved is None else max(0, int(time.time() - moved))
            return JobSummary(name, JobState.PROCESSING, started_at=_time(moved), elapsed_seconds=elapsed)
        if directory == "processed":
            return JobSummary(name, JobState.COMPLETED, finished_at=_time(moved), date=date)
        record = _record(entry)
        state = JobState.CANCELLED if record.get("status") == JobState.CANCELLED else JobState.FAILED
        error = record.get("error")
        return JobSummary(
            name, state, finished_at=_time(moved), date=date, error=error if isinstance(error, str) else ""
        )

    def _entries(self, directory: str, date: str = "") -> Iterator[os.DirEntry[str]]:
        path = self.base / directory
        if _is_dated(directory):
            path /= date or today()
        try:
            found = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in found:
            wanted = is_job_name(entry.name) and (directory != "to_be_processed" or self._takes(entry.name))
            if wanted and entry.is_file(follow_symlinks=False):
                yield entry

    def _takes(self, name: str) -> bool:
        """Whether a file of this name may be for this queue."""
        suffix = PurePosixPath(name.lower()).suffix
        return any(suffix in taken for mode, taken in MODE_SUFFIXES.items() if self.mode in {"", mode})


def find_queues(base: Path | None = None, mode: str = "") -> list[OfflineQueue]:
    """The queue at ``base``, or those of the default directories that exist. Without ``mode`` the name tells it."""
    if base is not None:
        return [OfflineQueue(base, mode or _MODES.get(base.name, ""))]
    return [OfflineQueue(path, _MODES.get(path.name, "")) for path in DEFAULT_QUEUES if path.is_dir()]


def is_job_name(name: str) -> bool:
    """Whether a file of this name can be a job: not hidden, not a sidecar, not half-written."""
    return not name.startswith(".") and not name.lower().endswith((*SIDECAR_SUFFIXES, *PARTIAL_SUFFIXES))


def _is_dated(directory: str) -> bool:
    return directory in {"processed", "failed"}


def _moved(entry: os.DirEntry[str]) -> float | None:
    """When the file came to where it is, in seconds since 1970."""
    try:
        return entry.stat(follow_symlinks=False).st_ctime
    except OSError:
        return None


def _time(seconds: float | None) -> str | None:
    try:
        stamp = datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
    except (OSError, ValueError, OverflowError):
        return None
    return rfc3339(stamp) if stamp else None


def _record(entry: os.DirEntry[str]) -> Mapping[str, object]:
    """What the record beside a failed job's file says; empty if it cannot be read."""
    try:
        record = json.loads(read_regular(Path(f"{entry.path}.error.json"), _RECORD_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _text(name: str) -> str:
    """A file name as text that can be encoded; bytes that are not UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
