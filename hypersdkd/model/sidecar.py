"""The records beside an ended job's file: report, meta and error, each a superset of hyper2kvm's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hypersdkd.model.job import JobState, stem
from hypersdkd.model.problem import Problem
from hypersdkd.model.report import job_stages

#: Most characters of log and of detail that a record carries.
_TEXT_LIMIT: Final = 65536


@dataclass(frozen=True, slots=True)
class Ending:
    """All that a record is made of. ``guests`` are ``GuestFold.report()``s; ``ended_at`` is RFC 3339 UTC.

    ``taken_for`` is what the job's file was taken for: ``disk``, ``manifest`` or ``job-config``; empty for one
    that ended before it was read. ``companions`` are the names of the files that belong to it and went where it went.
    """

    id: str
    original_name: str
    mode: str
    outcome: JobState
    claimed_at: str
    ended_at: str
    runs: int
    guests: Sequence[Mapping[str, object]]
    problem: Problem | None = None
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    log_tail: Sequence[str] = ()
    taken_for: str = ""
    companions: Sequence[str] = ()

    def record(self) -> dict[str, object]:
        """The record that fits the outcome and the mode."""
        if self.outcome is not JobState.COMPLETED:
            return self._error()
        return self._report() if self.mode == "manifest" else self._meta()

    def so_far(self) -> dict[str, object]:
        """How a job fares that has not ended."""
        name = stem(self.id)
        head = {"manifest": name, "job_id": name, "status": "processing", "completed_at": None}
        return {**head, "original_name": self.original_name, **self._common()}

    def to_json(self) -> bytes:
        """The bytes of the sidecar: indentation of 2, ASCII, as the original writes them."""
        return json.dumps(self.record(), indent=2).encode("ascii")

    def _common(self) -> dict[str, object]:
        return {**self._origin(), **self._work()}

    def _origin(self) -> dict[str, object]:
        """What lists need. It stands before all that may be long: whoever needs no more reads no further."""
        return {
            "id": self.id,
            "claimed_at": self.claimed_at,
            "attempts": max((_number(guest.get("attempts")) for guest in self.guests), default=0),
            "runs": self.runs,
            "taken_for": self.taken_for,
        }

    def _work(self) -> dict[str, object]:
        return {
            "companions": list(self.companions),
            "stages": job_stages(self.guests),
            "artifacts": self._artifacts(),
            "warnings": self._all_warnings(),
            "vms": list(self.guests),
        }

    def _report(self) -> dict[str, object]:
        name = stem(self.id)
        head = {"manifest": name, "status": "completed", "completed_at": self.ended_at, "job_id": name}
        return {**head, "original_name": self.original_name, **self._common()}

    def _meta(self) -> dict[str, object]:
        head = {"job_id": stem(self.id), "original_name": self.original_name, "completed_at": self.ended_at}
        return {**head, "status": "success", **self._common()}

    def where(self) -> tuple[str, str]:
        """The guest and the stage that the job's problem is of; empty where it is of none."""
        failed = next((guest for guest in self.guests if guest.get("status") in {"failed", "cancelled"}), None)
        return (str(failed.get("vm", "")), _failed_stage(failed)) if failed else ("", "")

    def _error(self) -> dict[str, object]:
        problem = self.problem or Problem("step-failed", "the job failed")
        vm, stage = self.where()
        return {
            "job_id": stem(self.id),
            "original_name": self.original_name,
            "failed_at": self.ended_at,
            "error": problem.message,
            "exception": problem.detail[-_TEXT_LIMIT:],
            "status": self.outcome.value,
            "code": problem.code,
            "remedy": problem.remedy,
            "path": problem.path,
            "stage": stage,
            "vm": vm,
            **self._origin(),
            "problems": [item.as_dict() for item in self.problems or (problem,)],
            "log_tail": list(self.log_tail),
            **self._work(),
        }

    def _all_warnings(self) -> list[object]:
        """Those of the manifest, then those of the guests that are none of the manifest's."""
        warnings: list[object] = [warning.as_dict() for warning in self.warnings]
        seen = {(warning.code, warning.path, warning.message) for warning in self.warnings}
        for guest in self.guests:
            for warning in _list(guest.get("warnings")):
                if isinstance(warning, Mapping):
                    key = tuple(str(warning.get(part, "")) for part in ("code", "path", "message"))
                    if key not in seen:
                        warnings.append(warning)
        return warnings

    def _artifacts(self) -> dict[str, object]:
        inputs = [path for guest in self.guests for path in _paths(guest, "input")]
        completed = [guest for guest in self.guests if guest.get("status") == JobState.COMPLETED.value]
        outputs = [path for guest in completed for path in _paths(guest, "outputs")]
        return {"input": inputs, "output": outputs[0] if outputs else None, "outputs": outputs}


def _paths(guest: Mapping[str, object], kind: str) -> list[object]:
    artifacts = guest.get("artifacts")
    return _list(artifacts.get(kind)) if isinstance(artifacts, Mapping) else []


def _failed_stage(guest: Mapping[str, object]) -> str:
    stages = guest.get("stages")
    if not isinstance(stages, Mapping):
        return ""
    bad = {"failed", "cancelled"}
    return next(
        (name for name, entry in stages.items() if isinstance(entry, Mapping) and entry.get("status") in bad), ""
    )


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
