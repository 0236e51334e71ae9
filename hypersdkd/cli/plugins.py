"""``hyperctl plugins``: what the daemon loaded, and what it could not."""

from __future__ import annotations

from argparse import Namespace

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect
from hypersdkd.cli.reply import rows, text
from hypersdkd.cli.terminal import Terminal


def plugins(arguments: Namespace, terminal: Terminal) -> int:
    """The plugins of the status reply."""
    found = rows(connect(arguments).status(), "plugins")
    if arguments.json:
        terminal.json({"plugins": found})
        return exits.FINE
    listed = [tuple(text(plugin, key) for key in ("name", "status", "source", "reason")) for plugin in found]
    terminal.table(("Name", "Status", "Source", "Reason"), listed)
    return exits.FINE
