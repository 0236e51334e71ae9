"""The report: a pure fold over a guest's events. Nothing else decides how a guest fared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hypersdkd.model.event import FINAL_EVENTS, Event, EventType
from hypersdkd.model.job import GuestProgress, JobState
from hypersdkd.model.moment import seconds_between
from hypersdkd.model.problem import Problem
from hypersdkd.model.stage import Stage

_PROGRESS_KEYS: Final = ("bytes_done", "bytes_total", "bytes_per_second", "eta_seconds")


class GuestFold:
    """Takes events one by one; tells at any moment how the guest fares.

    A ``started`` event begins a new attempt, which forgets what the attempt before it found.
    """

    def __init__(self, vm: str = "") -> None:
        self.vm = vm
        self.attempts = 0
        self.crashes = 0
        self.interruptions = 0
        self.last_seq = 0
        self._begin()

    def _begin(self) -> None:
        self.state: JobState | None = None
        self.problem: Problem | None = None
        self.stage = ""
        self.started_at: str | None = None
        self.finished_at: str | None = None
        self._stages: dict[str, dict[str, object]] = {stage.value: {"status": "not run"} for stage in Stage}
        self._progress: Mapping[str, object] = {}
        self.furthest = 0
        """The most percent that the stage has come to: its next step begins to count anew."""
        self._findings: dict[str, object] = {}
        self._checks: list[Mapping[str, object]] = []
        self._changes: list[Mapping[str, object]] = []
        self._artifacts: list[Mapping[str, object]] = []
        self._warnings: list[Mapping[str, object]] = []
        self._tools: dict[str, object] = {}
        self.publishing: Mapping[str, object] | None = None

    def add(self, event: Event) -> None:
        """Take the next event; one that was seen already is passed over."""
        if event.seq <= self.last_seq:
            return
        self.last_seq = event.seq
        self.vm = event.vm or self.vm
        match event.type:
            case EventType.STARTED:  # what was about to be published is not there any more, else it would be
                self._begin()
                self.attempts += 1
                self.started_at = event.time
            case EventType.RECOVERED:
                self.crashes += event.data.get("reason") == "crash"
                self.interruptions += event.data.get("reason") == "interruption"
            case EventType.STAGE_STARTED | EventType.STAGE_SKIPPED | EventType.STAGE_FINISHED:
                self._add_stage(event)
            case EventType.PROGRESS:
                self._progress = event.data
                self.furthest = max(self.furthest, min(100, _whole(event.data.get("percent")) or 0))
            case EventType.FINDING:
                self._findings[str(event.data.get("key", ""))] = event.data.get("value")
            case EventType.CHECK:
                self._checks.append({**event.data, "stage": event.stage})
            case EventType.CHANGE:
                self._changes.append(event.data)
            case EventType.ARTIFACT:
                self._artifacts.append(event.data)
            case EventType.WARNING:
                self._warnings.append({**event.data, "stage": event.stage})
            case EventType.PUBLISHING:
                self.publishing = event.data
            case _ if event.type in FINAL_EVENTS:
                self._end(event)
            case _:
                pass
        tool = event.data.get("tool")
        if tool:
            self._tools[str(tool)] = event.data.get("version")

    def _add_stage(self, event: Event) -> None:
        entry = self._stages.setdefault(event.stage, {})
        if event.type is EventType.STAGE_STARTED:
            self.stage = event.stage
            self._progress, self.furthest = {}, 0
            entry.update(status="running", started_at=event.time)
        elif event.type is EventType.STAGE_SKIPPED:
            entry.clear()
            entry.update(status="skipped", reason=event.data.get("reason", ""))
        else:
            entry.update(status="completed", finished_at=event.time)
            entry["duration_seconds"] = seconds_between(str(entry.get("started_at", "")), event.time)

    def _end(self, event: Event) -> None:
        self.finished_at = event.time
        states = {
            EventType.FINISHED: JobState.COMPLETED,
            EventType.FAILED: JobState.FAILED,
            EventType.CANCELLED: JobState.CANCELLED,
        }
        self.state = states[event.type]
        if event.type is EventType.FINISHED:
            return
        problem = event.data.get("problem")
        self.problem = Problem.from_dict(problem if isinstance(problem, Mapping) else {"code": "cancelled"})
        entry = self._stages.get(event.stage or self.stage)
        if entry is not None:
            entry.update(status=self.state.value, finished_at=event.time)
            entry.pop("duration_seconds", None)  # of one that was complete but for what was done beside the others

    def progress(self) -> GuestProgress:
        """Where the guest is now, for lists and pages."""
        numbers = {key: _whole(self._progress.get(key)) for key in _PROGRESS_KEYS}
        percent = 100 if self.state is JobState.COMPLETED else _whole(self._progress.get("percent")) or 0
        status = self.state or (JobState.PROCESSING if self.attempts else JobState.PENDING)
        return GuestProgress(self.vm, status, self.stage.upper(), percent, **numbers)

    def report(self) -> dict[str, object]:
        """The guest's part of a report; JSON values only."""
        return {
            "vm": self.vm,
            "status": self.state.value if self.state else "processing",
            "attempts": self.attempts,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "duration_seconds": seconds_between(self.started_at or "", self.finished_at or ""),
            "stages": {name: dict(entry) for name, entry in self._stages.items()},
            "guest": dict(self._findings),
            "checks": list(self._checks),
            "artifacts": {
                "input": [item["path"] for item in self._artifacts if item.get("kind") == "input"],
                "outputs": [item["path"] for item in self._artifacts if item.get("kind") == "output"],
            },
            "files": list(self._artifacts),
            "warnings": list(self._warnings),
            "tools": dict(self._tools),
            "changes": list(self._changes),
            "problem": self.problem.as_dict() if self.problem else None,
        }


def fold(events: Iterable[Event], vm: str = "") -> GuestFold:
    """The fold of a whole journal."""
    result = GuestFold(vm)
    for event in events:
        result.add(event)
    return result


def job_stages(guests: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The stages of a job: those of its only guest, or of a batch the worst of each with no times."""
    if len(guests) == 1:
        stages = guests[0]["stages"]
        return dict(stages) if isinstance(stages, Mapping) else {}
    order = ("failed", "cancelled", "running", "not run", "completed", "skipped")
    merged: dict[str, object] = {}
    for stage in Stage:
        seen = {_stage_status(guest, stage) for guest in guests}
        merged[stage.value] = {"status": next((status for status in order if status in seen), "not run")}
    return merged


def _stage_status(guest: Mapping[str, object], stage: Stage) -> str:
    stages = guest.get("stages")
    entry = stages.get(stage.value) if isinstance(stages, Mapping) else None
    return str(entry.get("status")) if isinstance(entry, Mapping) else "not run"


def _whole(value: object) -> int | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return int(value)
