"""A queue without its daemon: what its directories alone tell, in the shape of the API's replies.

Only names, kinds and times of files are looked at; nothing is opened, moved or written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.model.job import MODE_SUFFIXES, PARTIAL_SUFFIXES, SIDECAR_SUFFIXES, JobState, JobSummary

#: Where the queues of the two modes are unless configured, the Go client's order.
DEFAULT_QUEUES: Final = (Path("/var/lib/hyper2kvm/manifest-workflow"), Path("/var/lib/hyper2kvm/workflow"))

#: Each state's directory; ended jobs are in a directory a day below it.
_PLACES: Final = (
    (JobState.PENDING, "to_be_processed"),
    (JobState.PROCESSING, "processing"),
    (JobState.COMPLETED, "processed"),
    (JobState.FAILED, "failed"),
)


@dataclass(frozen=True, slots=True)
class OfflineQueue:
    """The queue at ``base``. A directory that is missing or unreadable counts as empty."""

    base: Path

    @property
    def mode(self) -> str:
        """``manifest`` or ``disk``, by the directory's name, as the Go client tells them apart."""
        return "manifest" if "manifest" in self.base.name else "disk"

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
            "base_dir": str(self.base),
        }

    def jobs(self) -> dict[str, object]:
        """All jobs, today's ended ones among them, as a page of the API."""
        rows = [
            JobSummary(
                id=_text(entry.name),
                status=state,
                started_at=_time(entry) if state is JobState.PROCESSING else None,
                finished_at=_time(entry) if directory in {"processed", "failed"} else None,
                date=_today() if directory in {"processed", "failed"} else "",
            ).as_dict()
            for state, directory in _PLACES
            for entry in self._entries(directory)
        ]
        return {"jobs": rows, "total": len(rows), "cursor": ""}

    def queue(self) -> dict[str, object]:
        """The queue's reply; no reasons are known, so nothing is said to wait or to be ignored."""
        pending = [{"name": _text(entry.name), "reason": ""} for entry in self._entries("to_be_processed")]
        return {"pending": pending, "waiting": [], "ignored": [], "foreign": [], "counts": self.counts()}

    def counts(self) -> dict[str, int]:
        """Jobs in each directory; of the ended ones those of today, by the local date."""
        return {directory: sum(1 for _ in self._entries(directory)) for _, directory in _PLACES}

    def _entries(self, directory: str) -> Iterator[os.DirEntry[str]]:
        path = self.base / directory
        if directory in {"processed", "failed"}:
            path /= _today()
        try:
            found = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in found:
            wanted = is_job_name(entry.name) and (directory != "to_be_processed" or self._takes(entry.name))
            if wanted and entry.is_file(follow_symlinks=False):
                yield entry

    def _takes(self, name: str) -> bool:
        """Whether a file of this name may be for this queue. Its name tells only a queue of manifests for certain."""
        suffix = PurePosixPath(name.lower()).suffix
        return suffix in MODE_SUFFIXES["manifest"] or (self.mode != "manifest" and suffix in MODE_SUFFIXES["disk"])


def find_queues(base: Path | None = None) -> list[OfflineQueue]:
    """The queue at ``base``, or those of the default directories that exist."""
    if base is not None:
        return [OfflineQueue(base)]
    return [OfflineQueue(path) for path in DEFAULT_QUEUES if path.is_dir()]


def is_job_name(name: str) -> bool:
    """Whether a file of this name can be a job: not hidden, not a sidecar, not half-written."""
    return not name.startswith(".") and not name.lower().endswith((*SIDECAR_SUFFIXES, *PARTIAL_SUFFIXES))


def _today() -> str:
    return datetime.now().astimezone().date().isoformat()


def _time(entry: os.DirEntry[str]) -> str | None:
    try:
        seconds = entry.stat(follow_symlinks=False).st_mtime
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OSError, ValueError, OverflowError):
        return None


def _text(name: str) -> str:
    """A file name as text that can be encoded; bytes that are not UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
