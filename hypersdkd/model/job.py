"""What a job is, and the states it may be in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final


class JobState(StrEnum):
    """Where a job is; each state has its directory in the queue. Only a retry leads back: failed or cancelled to
    pending."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: The states that a job stays in, unless it is retried.
ENDED_STATES: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})

#: Files that record an outcome beside a job's file; never jobs themselves.
SIDECAR_SUFFIXES: Final = (".report.json", ".meta.json", ".error.json")

#: Names that copying programs use until a file is whole.
PARTIAL_SUFFIXES: Final = (".part", ".partial", ".tmp", ".crdownload", "~", ".filepart")

#: Suffixes of dropped disks: hyper2kvm's, qcow2 and vdi, and those of Hyper-V's checkpoints. Those without a loader
#: fail with a reason once claimed.
DISK_SUFFIXES: Final = (
    *(".vmdk", ".ova", ".ovf", ".vhd", ".avhd", ".vhdx", ".avhdx"),
    *(".raw", ".img", ".ami", ".qcow2", ".vdi"),
)

#: Suffixes of manifests and job configs.
DOCUMENT_SUFFIXES: Final = (".json", ".yaml", ".yml")

#: What a queue of each mode takes.
MODE_SUFFIXES: Final[Mapping[str, frozenset[str]]] = {
    "manifest": frozenset(DOCUMENT_SUFFIXES),
    "disk": frozenset((*DISK_SUFFIXES, *DOCUMENT_SUFFIXES)),
}


def stem(job_id: str) -> str:
    """A job's name without its extension, as hyper2kvm writes ``job_id`` and Go's API ``name``."""
    return PurePosixPath(job_id).stem if job_id else ""


@dataclass(frozen=True, slots=True)
class GuestProgress:
    """How far one guest is. Bytes and seconds are whole numbers; ``None`` means not known (yet)."""

    vm: str
    status: JobState
    stage: str = ""
    percent: int = 0
    bytes_done: int | None = None
    bytes_total: int | None = None
    bytes_per_second: int | None = None
    eta_seconds: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The JSON shape of a guest in ``jobs/active``."""
        return {
            "vm": self.vm,
            "status": self.status.value,
            "stage": self.stage,
            "percent": self.percent,
            "bytes_done": self.bytes_done,
            "bytes_total": self.bytes_total,
            "bytes_per_second": self.bytes_per_second,
            "eta_seconds": self.eta_seconds,
        }


@dataclass(frozen=True, slots=True)
class JobSummary:
    """One row of a job list.

    ``started_at`` and ``finished_at`` are RFC 3339 UTC or ``None``; ``elapsed_seconds`` and ``progress``
    (percent) are whole, since Go clients refuse anything else. ``foreign`` marks a file in ``processing/``
    or a record of another daemon. ``date`` is the directory of an ended job, YYYY-MM-DD, else empty.
    """

    id: str
    status: JobState
    stage: str = ""
    progress: int = 0
    started_at: str | None = None
    finished_at: str | None = None
    elapsed_seconds: int = 0
    foreign: bool = False
    date: str = ""
    error: str = ""
    guests: tuple[GuestProgress, ...] = field(default=())
    guests_total: int = 0
    guests_ended: int = 0

    def as_dict(self) -> dict[str, object]:
        """The JSON shape: the Go API's seven fields, then ours (none differs from one only in case)."""
        return {
            "id": self.id,
            "name": stem(self.id),
            "stage": self.stage,
            "progress": self.progress,
            "started_at": self.started_at,
            "elapsed_seconds": self.elapsed_seconds,
            "status": self.status.value,
            "finished_at": self.finished_at,
            "foreign": self.foreign,
            "date": self.date,
            "error": self.error,
            "vms_total": self.guests_total,
            "vms_ended": self.guests_ended,
            "vms": [guest.as_dict() for guest in self.guests],
        }
