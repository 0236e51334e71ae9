"""How far running jobs are, as lines; and following jobs to their end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from hypersdkd.cli.connection import is_unreachable
from hypersdkd.cli.fitting import Concessions, fit
from hypersdkd.cli.reply import inner, rows, text, whole
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.text import clean, duration, size
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.job import ENDED_STATES, JobState
from hypersdkd.model.problem import Problem, ProblemError

#: Seconds between two looks at jobs that are followed.
LOOK_EVERY: Final = 0.5

#: Seconds for which a daemon may be away (a restart) while jobs are followed.
PATIENCE: Final = 60.0


_BAR_WIDTH: Final = 20

#: The width of a line that nothing limits.
WIDE: Final = 1000

#: What a line does without on a narrow terminal: never percent, as long as anything else can go.
_CONCESSIONS: Final[Concessions] = (
    ("bar", 0),
    ("vm", 0),
    ("bytes", 0),
    ("id", 12),
    ("state", 0),
    ("id", 8),
    ("eta", 0),
    ("rate", 0),
    ("id", 1),
)
#: The same where a job has several guests, whose names tell its lines apart.
_CONCESSIONS_IN_BATCH: Final[Concessions] = (
    ("bar", 0),
    ("id", 12),
    ("bytes", 0),
    ("vm", 12),
    ("state", 0),
    ("id", 0),
    ("vm", 8),
    ("eta", 0),
    ("rate", 0),
    ("vm", 1),
)


def job_lines(job: Mapping[str, object], *, width: int = 0) -> list[str]:
    """A line for each guest of a job, or one for the job if no guest is known.

    ``width`` is that of a terminal, for a bar, bytes, rate and time to go. Without it percent goes in tens
    only, so that a log of the lines stays short.
    """
    guests = rows(job, "vms")
    if not guests:
        guests = [{**job, "percent": job.get("progress"), "vm": ""}]
    lines = []
    for guest in guests:
        parts = {"id": [clean(text(job, "id"), 60)], **_parts(guest, drawn=width > 0)}
        concessions = _CONCESSIONS if len(guests) == 1 else _CONCESSIONS_IN_BATCH
        fitted = fit(parts, width or WIDE, concessions, gap=2)
        lines.append("  ".join(cell for (cell,) in fitted.values()))
    return lines


def _parts(guest: Mapping[str, object], *, drawn: bool) -> dict[str, list[str]]:
    """The parts of a guest's line by their names in the concessions. One that has ended moves no more."""
    status = text(guest, "status")
    ended = status in ENDED_STATES
    stage = "" if ended else text(guest, "stage")
    parts = {"vm": clean(text(guest, "vm"), 40), "state": clean(stage or status, 20)}
    if not ended:
        percent = min(max(whole(guest, "percent"), 0), 100)
        if drawn:
            parts |= _drawn(guest, percent)
        elif percent >= 10:
            parts["percent"] = f"{percent - percent % 10}%"
    return {name: [part] for name, part in parts.items()}


def _drawn(guest: Mapping[str, object], percent: int) -> dict[str, str]:
    full = percent * _BAR_WIDTH // 100
    done, total, rate = (whole(guest, key) for key in ("bytes_done", "bytes_total", "bytes_per_second"))
    return {
        "bar": "█" * full + "░" * (_BAR_WIDTH - full),
        "percent": f"{percent}%",
        "bytes": f"{size(done)}/{size(total)}" if total else "",
        "rate": f"{size(rate)}/s" if rate else "",
        "eta": f"ETA {duration(whole(guest, 'eta_seconds'))}" if guest.get("eta_seconds") is not None else "",
    }


def follow(daemon: Daemon, job_ids: Sequence[str], terminal: Terminal, *, quiet: bool = False) -> dict[str, Reply]:
    """Show jobs (unless ``quiet``) until each has ended; their last state by ID.

    A daemon that is away for less than :data:`PATIENCE` is waited for, then ``daemon-unreachable``.
    """
    ended: dict[str, Reply] = {}
    last_seen = time.monotonic()
    with terminal.board() as board:
        while True:
            lines: list[str] = []
            for job_id in job_ids:
                try:
                    job = ended.get(job_id) or daemon.job(job_id)
                except ProblemError as error:
                    if not is_unreachable(error) or time.monotonic() - last_seen > PATIENCE:
                        raise
                    lines.append(f"{clean(job_id, 60)}  waiting: {error.problem.message}")
                    continue
                last_seen = time.monotonic()
                lines += job_lines(job, width=terminal.width if terminal.interactive else 0)
                if text(job, "status") in ENDED_STATES:
                    ended[job_id] = job
            if not quiet:
                board.update(lines)
            if len(ended) == len(set(job_ids)):
                return ended
            time.sleep(LOOK_EVERY)


def problem_of(job: Mapping[str, object]) -> Problem:
    """Why a job ended badly, as far as its reply tells."""
    given = inner(job, "problem")
    if given:
        return Problem.from_dict(given)
    status = text(job, "status")
    return Problem("cancelled" if status == JobState.CANCELLED else "step-failed", text(job, "error") or status)
