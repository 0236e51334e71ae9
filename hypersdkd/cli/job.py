"""``hyperctl job …``, ``pause`` and ``resume``: look at one job, end it, run it again; hold the daemon."""

from __future__ import annotations

from argparse import Namespace

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect
from hypersdkd.cli.outcome import record_of, show_record
from hypersdkd.cli.progress import WIDE, job_lines
from hypersdkd.cli.reply import elapsed, inner, rows, text, whole
from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.http import Reply
from hypersdkd.model.problem import Problem, fail


def show(arguments: Namespace, terminal: Terminal) -> int:
    """One job whole; of an ended one also what became of it."""
    daemon = connect(arguments)
    reply = daemon.job(arguments.id)
    if arguments.json:
        terminal.json(reply)
        return exits.FINE
    fields: list[tuple[str, object]] = [
        ("ID", text(reply, "id")),
        ("Status", text(reply, "status")),
        ("Stage", text(reply, "stage")),
        ("Progress", f"{whole(reply, 'progress')}%"),
        ("Started", text(reply, "started_at")),
        ("Finished", text(reply, "finished_at")),
        ("Elapsed", elapsed(reply)),
        ("Attempts", whole(reply, "attempts")),
        ("File", text(reply, "path")),
        ("With it", ", ".join(map(str, found)) if isinstance(found := reply.get("companions"), list) else ""),
    ]
    terminal.table(("Property", "Value"), [field for field in fields if field[1] != ""])
    if rows(reply, "vms"):
        terminal.say()
        for line in job_lines(reply, width=terminal.width if terminal.interactive else WIDE):
            terminal.say(line)
    show_record(record_of(daemon, reply), terminal)
    problem = inner(reply, "problem")
    if problem:
        terminal.problem(Problem.from_dict(problem), verbose=arguments.verbose)
    return exits.FINE


def log(arguments: Namespace, terminal: Terminal) -> int:
    """The end of a job's log."""
    if arguments.lines < 1:
        raise fail("usage", "--lines must be at least 1")
    reply = connect(arguments).job_log(arguments.id, arguments.lines)
    if arguments.json:
        terminal.json(reply)
        return exits.FINE
    lines = reply.get("lines")
    for line in lines if isinstance(lines, list) else ():
        terminal.say(line)
    if not lines:
        terminal.note("INFO", "There is no log: nothing of the job has run, or it is not kept any more")
    return exits.FINE


def report(arguments: Namespace, terminal: Terminal) -> int:
    """A job's report; it is JSON, with or without ``--json``."""
    terminal.json(connect(arguments).job_report(arguments.id))
    return exits.FINE


def cancel(arguments: Namespace, terminal: Terminal) -> int:
    """Ask for a job's end."""
    reply = connect(arguments).cancel_job(arguments.id)
    return _done(arguments, terminal, reply, f"{arguments.id} is being cancelled")


def retry(arguments: Namespace, terminal: Terminal) -> int:
    """Put a failed or cancelled job back to pending."""
    reply = connect(arguments).retry_job(arguments.id)
    return _done(arguments, terminal, reply, f"{arguments.id} is pending again")


def pause(arguments: Namespace, terminal: Terminal) -> int:
    """Start no further job; what runs goes on."""
    return _done(arguments, terminal, connect(arguments).pause(), "Paused: what runs goes on, nothing more is started")


def resume(arguments: Namespace, terminal: Terminal) -> int:
    """Undo :func:`pause`."""
    return _done(arguments, terminal, connect(arguments).resume(), "Resumed")


def _done(arguments: Namespace, terminal: Terminal, reply: Reply, said: str) -> int:
    if arguments.json:
        terminal.json(reply)
    else:
        terminal.note("SUCCESS", said)
    return exits.FINE
