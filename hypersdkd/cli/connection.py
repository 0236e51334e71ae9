"""Finding the daemon that the command line means, or the directories of its queue."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.address import configured_queue, find_address
from hypersdkd.client.credentials import find_credentials
from hypersdkd.client.directories import OfflineQueue, find_queues
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import ProblemError


def connect(arguments: Namespace) -> Daemon:
    """The daemon; nothing is sent yet.

    Raises ``usage`` or ``config-missing`` for an address that is none, ``token-unusable`` for a token that is none.
    """
    config = Path(arguments.config) if arguments.config else None
    address = find_address(arguments.url, arguments.socket, config)
    return Daemon(address, credentials=find_credentials(arguments.token_file, arguments.ca))


def is_unreachable(error: ProblemError) -> bool:
    """Whether the error says that there is no daemon, rather than what a daemon said."""
    return error.problem.code == "daemon-unreachable"


def local_queues(arguments: Namespace, terminal: Terminal) -> list[OfflineQueue]:
    """The queues to read without a daemon: the one of ``--dir``, the configured one, or the usual ones.

    Says so if one of them cannot be read, or if the configuration is none.
    """
    queues = _queues(arguments, terminal)
    for trouble in filter(None, (queue.trouble() for queue in queues)):
        terminal.note("WARNING", trouble)
    return queues


def _queues(arguments: Namespace, terminal: Terminal) -> list[OfflineQueue]:
    if arguments.dir:
        return find_queues(Path(arguments.dir))
    try:
        configured = configured_queue(Path(arguments.config) if arguments.config else None)
    except ProblemError as error:
        problem = error.problem
        where = f"{problem.path}: " if problem.path else ""
        terminal.note("WARNING", f"The configuration is passed over: {where}{problem.message}")
        configured = None
    return find_queues(*configured) if configured else find_queues()


def ask_or_read(arguments: Namespace, terminal: Terminal, ask: Callable[[Daemon], Reply]) -> Reply | list[OfflineQueue]:
    """The reply to ``ask``; with ``--dir``, or if no daemon can be reached (which is said), the queues on this host."""
    if arguments.dir:
        return local_queues(arguments, terminal)
    daemon = connect(arguments)
    try:
        return ask(daemon)
    except ProblemError as error:
        if not is_unreachable(error):
            raise
        terminal.note("WARNING", f"API not available, checking local status... ({error.problem.message})")
        if not daemon.address.is_local:
            terminal.note("WARNING", f"What follows is of this machine, not of {daemon.address.host}")
        return local_queues(arguments, terminal)
