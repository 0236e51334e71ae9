"""The command itself: whether there is a terminal to take, and the exit status. Textual is imported from here on."""

from __future__ import annotations

import sys
from argparse import Namespace

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.tui.app import QueueApp
from hypersdkd.model.problem import fail


def tui(arguments: Namespace, terminal: Terminal) -> int:
    """Take the screen until the user leaves. ``usage`` where there is none, or for ``--json``."""
    if arguments.json or not (terminal.interactive and sys.stdin.isatty()):
        raise fail(
            "usage",
            "tui needs a terminal for input and output, and prints no JSON",
            remedy="Use `hyperctl workflow watch`, which also writes to files and pipes.",
        )
    status = QueueApp(connect(arguments)).run()
    return exits.FAILED if status is None else status
