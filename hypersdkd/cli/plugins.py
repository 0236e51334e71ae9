"""``hyperctl plugins``: what the daemon loaded, and what it could not."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect
from hypersdkd.cli.reply import inner, rows, text
from hypersdkd.cli.terminal import Terminal


def plugins(arguments: Namespace, terminal: Terminal) -> int:
    """The plugins of the status reply."""
    found = rows(connect(arguments).status(), "plugins")
    if arguments.json:
        terminal.json({"plugins": found})
        return exits.FINE
    terminal.table(("Name", "State", "Hooks", "Problem"), [_row(plugin) for plugin in found])
    return exits.FINE


def _row(plugin: Mapping[str, object]) -> tuple[str, ...]:
    hooks = plugin.get("hooks")
    names = ", ".join(str(hook) for hook in hooks) if isinstance(hooks, list) else ""
    return text(plugin, "name"), text(plugin, "state"), names, text(inner(plugin, "problem"), "message")
