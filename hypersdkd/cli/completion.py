"""What may come next on a command line, for the shell that asks when somebody presses Tab.

The shells' scripts, which are :func:`script`, start ``hyperctl`` with ``_ARGCOMPLETE`` set; argcomplete reads the line
from the environment, asks the parser, and answers on descriptor 8.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import argcomplete
from argcomplete.completers import SuppressCompleter
from argcomplete.shell_integration import shellcode

from hypersdkd.cli import exits
from hypersdkd.cli.arguments import leaves
from hypersdkd.cli.connection import connect
from hypersdkd.cli.reply import rows, text
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.text import is_offered
from hypersdkd.model.problem import ProblemError

#: Called by argcomplete with what is typed of a word, and with the arguments that stand already.
Completer = Callable[..., Iterable[str] | Mapping[str, str]]

#: Seconds that a daemon may take; who presses Tab does not wait longer.
TIMEOUT: Final = 1.0

#: Jobs of each state that are offered at most.
_LIMIT: Final = 100

#: The states of the jobs that an action can be done to.
_STATES: Final = {"cancel": ("pending", "processing"), "retry": ("failed", "cancelled")}

_MANIFESTS: Final = (".json", ".yaml", ".yml")


def completion(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """``completion``: print the script for a shell, which it is to read at its start."""
    terminal.out.write(script(arguments.shell))
    return exits.FINE


def script(shell: str) -> str:
    """What ``shell`` (bash, zsh or fish) needs to ask hyperctl at each Tab."""
    return f"{shellcode(['hyperctl'], shell=shell).strip()}\n"


def complete(parser: argparse.ArgumentParser, exit_method: Callable[[int], None] = os._exit) -> None:
    """Answer the shell, and end the process by ``exit_method``."""
    options = [action for action in parser._actions if action.option_strings and action.dest not in ("help", "version")]
    for action in options:
        _teach(action, "")
    for words, leaf in leaves(parser):
        for action in leaf._actions:
            _teach(action, words[-1] if words else "")
        for option in options:
            # The root's options are understood anywhere; one that is not there must not undo one that is.
            again = copy.copy(option)
            again.default = argparse.SUPPRESS
            leaf._add_action(again)
    argcomplete.autocomplete(
        parser, always_complete_options=False, exit_method=exit_method, default_completer=SuppressCompleter()
    )


def _teach(action: argparse.Action, command: str) -> None:
    """Give ``action`` the completer that fits what it takes, if there is one."""
    completers: dict[str, Completer] = {
        "id": job_ids(_STATES.get(command, ("processing", "pending", "failed", "cancelled", "completed"))),
        "file": paths(_MANIFESTS),
        "files": paths(_MANIFESTS),
        "dir": paths(()),
        **dict.fromkeys(("paths", "socket", "config", "token_file", "ca"), paths()),
    }
    if action.dest in completers:
        action.completer = completers[action.dest]  # type: ignore[attr-defined]  # argcomplete's way


def paths(suffixes: Sequence[str] | None = None) -> Completer:
    """Directories, and files with one of ``suffixes``, by default of any name."""

    def complete_paths(prefix: str, **_: object) -> list[str]:
        part = prefix.rpartition("/")[2]
        directory = prefix.removesuffix(part)
        found: list[str] = []
        try:
            for entry in Path(directory).expanduser().iterdir():
                name = entry.name
                if not is_offered(name, part):
                    continue
                if entry.is_dir():
                    found.append(f"{directory}{name}/")
                elif suffixes is None or entry.suffix in suffixes:
                    found.append(f"{directory}{name}")
        except (OSError, RuntimeError):  # not there, or the home of nobody
            return []
        return sorted(found)

    return complete_paths


def job_ids(states: Sequence[str]) -> Completer:
    """The IDs of the daemon's jobs in ``states``, each with its state; none where no daemon answers in time."""

    def complete_ids(prefix: str, parsed_args: argparse.Namespace, **_: object) -> dict[str, str]:
        try:
            daemon = replace(connect(parsed_args), timeout=TIMEOUT)
            jobs = [job for state in states for job in rows(daemon.jobs(state, limit=_LIMIT), "jobs")]
        except ProblemError:
            return {}
        # A name is a stranger's, and the shell prints it.
        found = {text(job, "id"): text(job, "status") for job in jobs}
        return {job: state for job, state in found.items() if job.startswith(prefix) and job.isprintable()}

    return complete_ids
