"""Finding the daemon that the command line means, or the directories of its queue."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.address import find_address
from hypersdkd.client.directories import OfflineQueue, find_queues
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import ProblemError


def connect(arguments: Namespace) -> Daemon:
    """The daemon; nothing is sent yet. Raises ``usage`` or ``config-missing`` for an address that is none."""
    config = Path(arguments.config) if arguments.config else None
    return Daemon(find_address(arguments.url, arguments.socket, config))


def is_unreachable(error: ProblemError) -> bool:
    """Whether the error says that there is no daemon, rather than what a daemon said."""
    return error.problem.code == "daemon-unreachable"


def ask_or_read(arguments: Namespace, terminal: Terminal, ask: Callable[[Daemon], Reply]) -> Reply | list[OfflineQueue]:
    """The daemon's reply to ``ask``, or the queues on this host if it cannot be reached, which is said."""
    try:
        return ask(connect(arguments))
    except ProblemError as error:
        if not is_unreachable(error):
            raise
        terminal.note("WARNING", f"API not available, checking local status... ({error.problem.message})")
        return find_queues()
