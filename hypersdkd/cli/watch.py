"""``hyperctl workflow watch``: the queue and its running jobs until Ctrl-C."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from functools import cache

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect, is_unreachable, local_queues
from hypersdkd.cli.fitting import width_of
from hypersdkd.cli.progress import job_lines
from hypersdkd.cli.reply import rows, text
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.workflow import counts_line
from hypersdkd.client.directories import DEFAULT_QUEUES, OfflineQueue
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import ProblemError, fail


def watch(arguments: Namespace, terminal: Terminal) -> int:
    """Redraw on a terminal; where the output goes to a file, write what is new; as JSON an object a look."""
    if not arguments.interval > 0 or arguments.count < 0:
        raise fail("usage", "--interval must be more than 0 seconds, --count not negative")
    daemon = None if arguments.dir else connect(arguments)
    queues = cache(lambda: local_queues(arguments, terminal))  # a warning once, and only where it matters
    before: list[str] = []
    looks = 0
    with terminal.board() as board:
        while True:
            reply, away = _look(daemon, queues)
            if arguments.json:
                terminal.json(reply, line=True)
            else:
                lines = _lines(reply, away, terminal)
                if terminal.interactive or lines != before:
                    board.update([f"Updated at {time.strftime('%H:%M:%S')}", *lines])
                before = lines
            looks += 1
            if looks == arguments.count:
                return exits.FINE
            time.sleep(arguments.interval)


def _look(daemon: Daemon | None, queues: Callable[[], list[OfflineQueue]]) -> tuple[Reply, str]:
    """The status reply with the running jobs in ``jobs``, or the same from the directories, and why (else empty)."""
    why = "The daemon was not asked"
    try:
        if daemon is not None:
            return {**daemon.status(), "jobs": rows(daemon.active_jobs(), "jobs")}, ""
    except ProblemError as error:
        if not is_unreachable(error):
            raise
        why = error.problem.message
    queue = (queues() or [OfflineQueue(DEFAULT_QUEUES[0], "manifest")])[0]
    return {**queue.status(), "jobs": queue.jobs("active"), "last_error": why}, f"{why}; read from"


def _lines(reply: Reply, away: str, terminal: Terminal) -> list[str]:
    counts = counts_line(reply)
    lines = counts.split(" | ") if terminal.interactive and width_of(counts) > terminal.width else [counts]
    if away:
        lines.append(f"{away} {text(reply, 'base_dir')}")
    if reply.get("paused") is True:
        lines.append("Paused: no further job is started")
    for job in rows(reply, "jobs"):
        lines += job_lines(job, width=terminal.width if terminal.interactive else 0)
    return lines
