"""How far running jobs are, as lines; and following jobs to their end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from hypersdkd.cli.connection import is_unreachable
from hypersdkd.cli.reply import inner, rows, text, whole
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.text import clean, duration, size
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, ProblemError

#: Seconds between two looks at jobs that are followed.
LOOK_EVERY: Final = 0.5

#: Seconds for which a daemon may be away (a restart) while jobs are followed.
PATIENCE: Final = 60.0

_ENDED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})

_BAR_WIDTH: Final = 20


def job_lines(job: Mapping[str, object], *, bar: bool) -> list[str]:
    """A line for each guest of a job, or one for the job if no guest is known.

    With ``bar`` for a terminal: a bar, bytes, rate and time to go. Without it percent goes in tens only,
    so that a log of the lines stays short.
    """
    name, guests = clean(text(job, "id"), 60), rows(job, "vms")
    if not guests:
        state = text(job, "stage") or text(job, "status")
        return [f"{name}  {clean(state)}  {_percent(whole(job, 'progress'), bar=bar)}".rstrip()]
    return [_guest_line(name, guest, bar=bar) for guest in guests]


def _guest_line(job: str, guest: Mapping[str, object], *, bar: bool) -> str:
    parts = [job, clean(text(guest, "vm"), 40), clean(text(guest, "stage") or text(guest, "status"), 20)]
    parts.append(_percent(whole(guest, "percent"), bar=bar))
    if bar:
        done, total, rate = (whole(guest, key) for key in ("bytes_done", "bytes_total", "bytes_per_second"))
        parts.append(f"{size(done)}/{size(total)}" if total else "")
        parts.append(f"{size(rate)}/s" if rate else "")
        parts.append(f"ETA {duration(whole(guest, 'eta_seconds'))}" if guest.get("eta_seconds") is not None else "")
    return "  ".join(part for part in parts if part)


def _percent(percent: int, *, bar: bool) -> str:
    percent = min(max(percent, 0), 100)
    if not bar:
        return f"{percent - percent % 10}%" if percent >= 10 else ""
    full = percent * _BAR_WIDTH // 100
    return f"{'█' * full}{'░' * (_BAR_WIDTH - full)} {percent}%"


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
                lines += job_lines(job, bar=terminal.interactive)
                if text(job, "status") in _ENDED:
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
