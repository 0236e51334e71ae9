"""``hyperctl workflow watch``: the queue and its running jobs until Ctrl-C."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Generator
from contextlib import closing
from functools import cache
from typing import Final

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect, is_unreachable, local_queues
from hypersdkd.cli.fitting import width_of
from hypersdkd.cli.live_view import NO_LIVE_EVENTS, LiveView, look
from hypersdkd.cli.progress import job_lines
from hypersdkd.cli.reply import rows, text
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.text import clean
from hypersdkd.cli.workflow import counts_line
from hypersdkd.client.directories import DEFAULT_QUEUES, OfflineQueue
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import ProblemError, fail

#: What is known at one look: the status reply with the running jobs in ``jobs``; why it is not the daemon that says
#: so, else empty; and the jobs that have ended since the look before, and how.
_Look = tuple[Reply, str, list[tuple[str, str]]]

#: Codes of a daemon that has no live events now, but may soon.
_NOT_NOW: Final = frozenset({"daemon-unreachable", "request-busy"})


def watch(arguments: Namespace, terminal: Terminal) -> int:
    """Redraw on a terminal; where the output goes to a file, write what is new; as JSON an object a look."""
    if not arguments.interval > 0 or arguments.count < 0:
        raise fail("usage", "--interval must be more than 0 seconds, --count not negative")
    daemon = None if arguments.dir else connect(arguments)
    queues = cache(lambda: local_queues(arguments, terminal))  # a warning once, and only where it matters
    before: list[str] = []
    with terminal.board() as board, closing(_looks(daemon, queues, arguments.interval)) as looks:
        for number, (reply, away, ended) in enumerate(looks, start=1):
            if arguments.json:
                terminal.json(reply, line=True)
            else:
                lines = _lines(reply, away, terminal)
                if not terminal.interactive:
                    lines += [f"{clean(job, 60)}  {how}" for job, how in ended]
                if terminal.interactive or not set(lines) <= set(before):
                    board.update([f"Updated at {time.strftime('%H:%M:%S')}", *lines])
                before = lines
            if number == arguments.count:
                break
    return exits.FINE


def _looks(
    daemon: Daemon | None, queues: Callable[[], list[OfflineQueue]], interval: float
) -> Generator[_Look, None, None]:
    """By live events as long as there are any. Else the daemon is asked each time; without it, its directories."""
    view = LiveView(daemon) if daemon is not None else None
    while True:
        if view is not None:
            try:
                for reply in view.looks(interval):
                    yield reply, "", view.ended()
            except ProblemError as error:
                if error.problem.code in NO_LIVE_EVENTS:
                    view = None
                elif error.problem.code not in _NOT_NOW:
                    raise
        yield *_look(daemon, queues), []
        time.sleep(interval)


def _look(daemon: Daemon | None, queues: Callable[[], list[OfflineQueue]]) -> tuple[Reply, str]:
    """The status reply with the running jobs in ``jobs``, or the same from the directories, and why (else empty)."""
    why = "The daemon was not asked"
    try:
        if daemon is not None:
            return look(daemon), ""
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
