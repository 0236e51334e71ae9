"""What the daemon's services answer, before HTTP or a terminal gives it a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hypersdkd.model.event import Event
from hypersdkd.model.guest import Guest
from hypersdkd.model.job import JobState, JobSummary
from hypersdkd.model.problem import Problem, ProblemError

#: What a document of a queue may be taken for.
MANIFEST: Final = "manifest"
JOB_CONFIG: Final = "job-config"

#: Orders of a job list: by name, or by when a job came to where it is; a dash turns it round.
SORTS: Final = ("name", "-name", "time", "-time")


@dataclass(frozen=True, slots=True)
class Validation:
    """What the rules say of a document. ``guests`` is what would be run; empty when not valid.

    ``name`` is the manifest's own name, or empty. ``document`` is the parsed object (empty when the text
    could not be parsed; then ``parsed`` is false, and HTTP answers 400). ``taken_for`` is ``manifest`` or
    ``job-config``; ``batch`` is whether it is one of many guests.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    name: str = ""
    batch: bool = False
    guests: tuple[Guest, ...] = ()
    document: Mapping[str, object] = field(default_factory=dict)
    parsed: bool = True
    taken_for: str = MANIFEST

    @property
    def valid(self) -> bool:
        """Whether nothing stands in the way of running it."""
        return not self.problems


class ManifestInvalidError(ProblemError):
    """A submission that the rules refused; the first problem stands for all of ``validation``."""

    def __init__(self, validation: Validation) -> None:
        super().__init__(validation.problems[0])
        self.validation = validation


@dataclass(frozen=True, slots=True)
class Receipt:
    """A manifest was put into the queue: its file there (absolute) and the job's ID."""

    manifest_path: str
    job_id: str


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A filter for job lists. ``states`` empty means all; ``q`` is a part of the name, any case.

    ``date`` is YYYY-MM-DD (ended jobs only), ``limit`` rows at most, ``cursor`` what the last page gave.
    ``sort`` is one of :data:`SORTS`, or empty for the order of the queue.
    """

    states: frozenset[JobState] = frozenset()
    q: str = ""
    date: str = ""
    limit: int = 1000
    cursor: str = ""
    sort: str = ""


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of jobs; ``total`` counts all that match, ``cursor`` is empty on the last page."""

    jobs: tuple[JobSummary, ...]
    total: int
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of a job's events, by time; ``cursor`` is empty on the last page."""

    events: tuple[Event, ...] = ()
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a guest read or left; ``number`` counts from 0 in its job, ``size`` is in bytes.

    ``media_type`` is what it is sent as, empty where it is not: a disk is taken from its ``path``.
    """

    number: int
    vm: str
    kind: str
    path: str
    size: int | None = None
    media_type: str = ""

    def as_dict(self) -> dict[str, object]:
        """The JSON shape."""
        return {
            "number": self.number,
            "vm": self.vm,
            "kind": self.kind,
            "path": self.path,
            "bytes": self.size,
            "media_type": self.media_type or None,
        }


@dataclass(frozen=True, slots=True)
class ArtifactContent:
    """An artifact that is sent: its file's name, its media type and its bytes."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job whole: its row, where its file is now, its attempts, and its error if it ended in one.

    ``companions`` are the names of the files that go where its file goes.
    """

    summary: JobSummary
    path: str
    original_name: str
    attempts: int
    claimed_at: str | None
    problem: Problem | None
    companions: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The JSON shape: the row's fields and these."""
        return {
            **self.summary.as_dict(),
            "path": self.path,
            "original_name": self.original_name,
            "attempts": self.attempts,
            "claimed_at": self.claimed_at,
            "problem": self.problem.as_dict() if self.problem else None,
            "companions": list(self.companions),
        }


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A file in the queue: its name as text, and why it waits or is ignored (empty when it is ready).

    ``size`` is in bytes; ``since`` is RFC 3339 UTC, when it was first seen.
    """

    name: str
    reason: str = ""
    size: int = 0
    since: str = ""

    def as_dict(self) -> dict[str, object]:
        """The JSON shape."""
        return {"name": self.name, "reason": self.reason, "size": self.size, "since": self.since}


@dataclass(frozen=True, slots=True)
class QueueInspection:
    """The drop directory as it is seen now, and how many files each directory holds.

    ``left_out`` counts, for each of the four lists, what is beyond the limit that was asked for.
    """

    pending: tuple[QueueEntry, ...] = ()
    waiting: tuple[QueueEntry, ...] = ()
    ignored: tuple[QueueEntry, ...] = ()
    foreign: tuple[QueueEntry, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The JSON shape."""
        return {
            "pending": [entry.as_dict() for entry in self.pending],
            "waiting": [entry.as_dict() for entry in self.waiting],
            "ignored": [entry.as_dict() for entry in self.ignored],
            "foreign": [entry.as_dict() for entry in self.foreign],
            "counts": dict(self.counts),
            "left_out": dict(self.left_out),
        }
