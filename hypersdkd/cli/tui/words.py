"""What the screens say, as plain lines. Whatever comes from outside passes ``text.clean``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hypersdkd.cli.progress import job_lines
from hypersdkd.cli.reply import elapsed, inner, rows, text, whole
from hypersdkd.cli.text import clean, counted, duration, size
from hypersdkd.cli.tui.following import Look
from hypersdkd.model.problem import Problem

STAGES: Final = ("load", "inspect", "fix", "convert", "validate")

_CONNECTIONS: Final = {"live": "● live", "asking": "○ asking", "away": "✗ no daemon"}
_MARKS: Final = {"stage_started": "▶", "stage_finished": "✓", "stage_skipped": "-"}
_ENDS: Final = frozenset({"failed", "cancelled"})

#: Findings and changes of one job that are shown; its report has all.
_LISTED: Final = 100


def status_lines(look: Look, last: Mapping[str, object]) -> tuple[str, str]:
    """Two lines: the daemon, and its queue as it was in the ``last`` reply."""
    connection = _CONNECTIONS[look.connection]
    if look.problem is not None:
        return f"{connection}  {clean(look.problem.message)}", f"trying again; {clean(look.problem.remedy)}"
    state = "paused" if last.get("paused") is True else "running" if last.get("running") is True else "not running"
    free = whole(inner(last, "disk"), "free_bytes")
    parts = [
        connection,
        clean(text(last, "mode"), 20),
        state,
        f"workers {whole(last, 'active_jobs')}/{whole(last, 'max_workers')}",
        f"up {duration(whole(last, 'uptime_seconds'))}",
        f"{size(free)} free" if free else "",
    ]
    queue = (
        f"queued {whole(last, 'queue_depth')}  active {whole(last, 'active_jobs')}  today: "
        f"{whole(last, 'processed_today')} done, {whole(last, 'failed_today')} failed"
    )
    return "  ".join(filter(None, parts)), queue


def problem_text(problem: Problem) -> str:
    """A problem in two lines."""
    return f"{clean(problem.message, 1000)}\nremedy: {clean(problem.remedy, 1000)}"


def job_cells(row: Mapping[str, object]) -> tuple[str, str, str, str, str]:
    """A row of the table: name, status, stage, percent, time."""
    name = clean(text(row, "name") or text(row, "id"), 200)
    status, stage = (clean(text(row, key), 20) for key in ("status", "stage"))
    return name, status, stage.lower(), f"{whole(row, 'progress')}%", elapsed(row)


def job_text(job: Mapping[str, object], events: Sequence[Mapping[str, object]], log: object, width: int) -> str:
    """All of one job: its problem first, then progress, stages, findings and the end of its log."""
    parts = [
        _facts(job),
        _problem(job),
        _section("Progress", job_lines(job, width=width) if rows(job, "vms") else ()),
        _section("Stages", _timeline(events)),
        _section("Findings", list(_findings(events))[:_LISTED]),
        _section("Log", [clean(line, 1000) for line in log] if isinstance(log, list) else ()),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _facts(job: Mapping[str, object]) -> list[str]:
    status = f"{clean(text(job, 'status'), 20)}, {whole(job, 'progress')}%, {elapsed(job)}"
    attempts = whole(job, "attempts")
    return [
        clean(text(job, "id")),
        f"{status}, {counted(attempts, 'attempt')}" if attempts else status,
        clean(text(job, "path"), 1000),
    ]


def _problem(job: Mapping[str, object]) -> list[str]:
    given = inner(job, "problem")
    if not given:
        return []
    problem = Problem.from_dict(given)
    said = f"{clean(problem.message, 1000)} ({clean(problem.code, 60)})"
    return _section("Error", [said, f"remedy: {clean(problem.remedy, 1000)}"])


def _timeline(events: Sequence[Mapping[str, object]]) -> list[str]:
    """A line for each guest: how each stage of its last attempt is."""
    guests: dict[str, dict[str, str]] = {}
    for event in events:
        kind, stage = text(event, "type"), text(event, "stage")
        marks = guests.setdefault(text(event, "vm"), {})
        if kind == "started":
            marks.clear()
        elif kind in _MARKS:
            marks[stage] = _MARKS[kind]
        elif kind in _ENDS:
            marks.update({name: "✗" for name, mark in marks.items() if mark == "▶"})
    return [
        "  ".join([*filter(None, [clean(vm, 40)]), *(f"{marks.get(stage, '·')} {stage}" for stage in STAGES)])
        for vm, marks in guests.items()
        if marks
    ]


def _findings(events: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for event in events:
        kind = text(event, "type")
        if kind == "finding":
            value = event.get("value")
            shown = value if isinstance(value, str) else json.dumps(value)
            yield f"{clean(event.get('key', ''), 60)}: {clean(shown, 500)}"
        elif kind == "check":
            how = "ok" if event.get("passed") is True else "not so"
            yield f"{clean(event.get('name', ''), 60)}: {how} {clean(event.get('detail') or '', 500)}".rstrip()
        elif kind == "change":
            yield f"{clean(event.get('action', ''), 20)} {clean(event.get('path', ''), 500)}"
        elif kind == "warning":
            yield f"warning: {clean(event.get('message', ''), 500)}"
