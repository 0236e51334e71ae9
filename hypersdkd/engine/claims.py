"""Claims: our durable record of each job, written before and after each rename of its file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from hypersdkd.host.files import remove_tree, sync_directory, write_replacing

_CLAIM: Final = "claim.json"
_CANCEL: Final = "cancel"
_FILE: Final = "job"
_COMPANIONS: Final = "companions"


class ClaimState(StrEnum):
    """How far a claim is. ``spool`` says what each means for where the file lies."""

    CLAIMING = "claiming"
    CLAIMED = "claimed"
    ACTIVE = "active"
    FINISHING = "finishing"
    FINISHED = "finished"
    RETRYING = "retrying"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Claim:
    """One job's record.

    ``file`` is the name of the job's file in the directory where it is now; ``original_name`` the name it
    was dropped under, as text with surrogate escapes. ``outcome``, ``date`` and
    ``target`` (the file's name among the ended ones) are set from FINISHING on. ``runs`` counts
    how often the job was claimed (1 and its retries). ``guests`` is how many were planned, 0 before that;
    ``taken_for`` is then what the file was taken for: ``disk``, ``manifest`` or ``job-config``. ``companions`` are
    the names of the files that were claimed along with it.
    """

    id: str
    state: ClaimState
    file: str
    original_name: str
    claimed_at: str
    runs: int = 1
    outcome: str = ""
    date: str = ""
    target: str = ""
    guests: int = 0
    taken_for: str = ""
    companions: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The bytes of ``claim.json``; ASCII."""
        return json.dumps(asdict(self), indent=2).encode("ascii")

    @classmethod
    def from_json(cls, content: bytes) -> Claim:
        """Read :meth:`to_json` back; unknown keys are ignored. Raises ``ValueError``."""
        values = json.loads(content)
        if not isinstance(values, Mapping):
            raise ValueError("not an object")  # noqa: TRY004 - callers test for one kind of error
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        try:
            companions = tuple(map(str, known.get("companions", ())))
            return cls(**{**known, "state": ClaimState(known["state"]), "companions": companions})
        except (TypeError, KeyError) as error:
            raise ValueError(str(error)) from error


class ClaimStore:
    """The directory of claims. Every write is durable when its call returns."""

    def __init__(self, jobs: Path) -> None:
        self._jobs = jobs

    def directory(self, job_id: str) -> Path:
        """The job's directory; may not exist."""
        return self._jobs / job_id

    def file(self, job_id: str) -> Path:
        """Where the job's file lies between the drop directory and ``processing/``: unmistakably ours."""
        return self.directory(job_id) / _FILE

    def companions(self, job_id: str) -> Path:
        """Where its companions lie meanwhile; the directory is there only then."""
        return self.directory(job_id) / _COMPANIONS

    def read(self, job_id: str) -> Claim | None:
        """The claim, or ``None``: no such job, or its directory was made and nothing yet written."""
        try:
            return Claim.from_json((self.directory(job_id) / _CLAIM).read_bytes())
        except (OSError, ValueError):  # none such, or a name that no directory can have
            return None

    def written(self, job_id: str) -> int | None:
        """When the claim was last written, in nanoseconds; of an ended job that is when it ended."""
        try:
            return (self.directory(job_id) / _CLAIM).stat().st_mtime_ns
        except OSError:
            return None

    def exists(self, job_id: str) -> bool:
        """Whether the ID is taken."""
        return self.directory(job_id).exists()

    def create(self, claim: Claim) -> None:
        """Make the job's directory and write its first claim. ``FileExistsError`` when the ID is taken."""
        self.directory(claim.id).mkdir(mode=0o750)
        try:
            self.write(claim)
        except OSError:
            remove_tree(self.directory(claim.id))
            raise
        sync_directory(self._jobs)

    def write(self, claim: Claim) -> Claim:
        """Replace the record; returns it, for chaining."""
        write_replacing(self.directory(claim.id) / _CLAIM, claim.to_json())
        return claim

    def advance(self, claim: Claim, state: ClaimState, **changes: str | int) -> Claim:
        """Write the claim again with a new state and ``changes`` to its other fields."""
        return self.write(replace(claim, state=state, **changes))  # type: ignore[arg-type]

    def remove(self, job_id: str) -> None:
        """Forget a claim altogether."""
        remove_tree(self.directory(job_id))
        sync_directory(self._jobs)

    def all(self) -> Iterator[Claim]:
        """Every readable claim. Directories without one (a crash right after mkdir) are removed.

        One that is there and cannot be read is left alone: what cannot be read now may be read later.
        """
        for entry in list(os.scandir(self._jobs)):
            claim = self.read(entry.name)
            if claim is not None:
                yield claim
            elif entry.is_dir(follow_symlinks=False) and not self._holds_anything(entry.name):
                self.remove(entry.name)

    def _holds_anything(self, job_id: str) -> bool:
        places = (self.directory(job_id) / _CLAIM, self.file(job_id), self.companions(job_id))
        return any(os.path.lexists(place) for place in places)

    def ask_cancel(self, job_id: str) -> None:
        """Record that the job shall end; survives a restart."""
        write_replacing(self.directory(job_id) / _CANCEL, b"")

    def cancel_asked(self, job_id: str) -> bool:
        """Whether :meth:`ask_cancel` was called for this run of the job."""
        return (self.directory(job_id) / _CANCEL).exists()

    def forget_cancel(self, job_id: str) -> None:
        """The job begins anew."""
        (self.directory(job_id) / _CANCEL).unlink(missing_ok=True)

    def guest_directories(self, job_id: str) -> list[Path]:
        """The guests' directories of a job in their order; empty before it is planned, and where we may not look."""
        try:
            return sorted(Path(entry.path) for entry in os.scandir(self.directory(job_id)) if entry.name.isdigit())
        except (FileNotFoundError, PermissionError):
            return []
