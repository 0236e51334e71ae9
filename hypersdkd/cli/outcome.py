"""What became of an ended job, as its record tells: results, warnings, and the guests of a batch that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypersdkd.cli.reply import inner, rows, text
from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.job import ENDED_STATES
from hypersdkd.model.problem import Problem, ProblemError

#: Results, warnings and failed guests of one job that are listed; the report has all.
_LISTED: Final = 20

#: A record that another daemon has not written or that somebody took away is no error of the job's.
_NO_RECORD: Final = frozenset({"not-found", "job-state", "job-unknown"})


def record_of(daemon: Daemon, job: Mapping[str, object]) -> Reply:
    """The record of a job that has ended; empty where there is none."""
    if text(job, "status") not in ENDED_STATES:
        return {}
    try:
        return daemon.job_report(text(job, "id"))
    except ProblemError as error:
        if error.problem.code not in _NO_RECORD:
            raise
        return {}


def show_record(record: Mapping[str, object], terminal: Terminal) -> None:
    """Its results, one a line, on standard output; its warnings and failed guests with the other notes."""
    outputs = inner(record, "artifacts").get("outputs")
    results = [str(path) for path in outputs] if isinstance(outputs, list) else []
    for path in results[:_LISTED]:
        terminal.say(f"Result: {path}")
    _say_more(len(results), terminal)
    warnings = list(dict.fromkeys(text(warning, "message") for warning in rows(record, "warnings")))
    for message in warnings[:_LISTED]:
        terminal.note("WARNING", message)
    _say_more(len(warnings), terminal)
    guests = rows(record, "vms")
    for guest in guests:
        _show_plan(guest, terminal)
    failed = [guest for guest in guests if inner(guest, "problem")] if len(guests) > 1 else []
    for guest in failed[:_LISTED]:
        problem = Problem.from_dict(inner(guest, "problem"))
        terminal.note("ERROR", f"{text(guest, 'vm')}: {problem.message}")
        terminal.remedy(problem)
    _say_more(len(failed), terminal)


def _show_plan(guest: Mapping[str, object], terminal: Terminal) -> None:
    """What a dry run would have done to a guest."""
    plan = inner(inner(guest, "guest"), "dry_run")
    outputs = plan.get("outputs")
    if not isinstance(outputs, list):
        return
    changes = rows(guest, "changes")
    terminal.say(f"Dry run of {text(guest, 'vm')}: nothing was written")
    for change in changes[:_LISTED]:
        terminal.say(f"Would change: {text(change, 'path')} ({text(change, 'fixer')}, {text(change, 'action')})")
    _say_more(len(changes), terminal)
    for path in outputs[:_LISTED]:
        terminal.say(f"Would write: {path}")
    _say_more(len(outputs), terminal)


def _say_more(count: int, terminal: Terminal) -> None:
    if count > _LISTED:
        terminal.note("INFO", f"and {count - _LISTED} more: hyperctl job report ID")
