"""What the daemon's log says of jobs and guests: each line has ``job``, ``vm``, ``stage``, be they empty."""

from __future__ import annotations

from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from hypersdkd.model.event import Event, EventType
from hypersdkd.model.problem import Problem

#: Events that are told at the level ``info``. Progress, findings and checks are in the journal alone.
_ENDS: Final = {EventType.FINISHED: "guest completed", EventType.CANCELLED: "guest cancelled"}

#: Those at ``debug``.
_STEPS: Final = {
    EventType.STARTED: "guest begins",
    EventType.STAGE_STARTED: "stage begins",
    EventType.STAGE_SKIPPED: "stage skipped",
    EventType.STAGE_FINISHED: "stage complete",
}


def job_log(job_id: str, vm: str = "", stage: str = "") -> FilteringBoundLogger:
    """A log whose lines are of a job, and of a guest of it."""
    log: FilteringBoundLogger = structlog.get_logger(job=job_id, vm=vm, stage=stage)
    return log


def log_event(log: FilteringBoundLogger, event: Event) -> None:
    """Tell of a guest's event what somebody who reads the log wants to know."""
    if event.type in _ENDS:
        log.info(_ENDS[event.type], stage=event.stage)
    elif event.type in _STEPS:
        log.debug(_STEPS[event.type], stage=event.stage)
    elif event.type is EventType.WARNING:
        log.warning("guest warning", stage=event.stage, code=event.data.get("code"), warning=event.data.get("message"))
    elif event.type is EventType.FAILED:
        given = event.data.get("problem")
        problem = Problem.from_dict(given) if isinstance(given, dict) else Problem("step-failed", "the guest failed")
        log.warning("guest failed", stage=event.stage, code=problem.code, error=problem.message)
