"""``hyperctl``: reads the command line, runs the command, and turns whatever it raises into an exit status.

Commands are imported by name when they are run, so that ``hyperctl --version`` costs no more than argparse.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from itertools import takewhile

from hypersdkd.cli import exits
from hypersdkd.cli.arguments import build_parser, normalise
from hypersdkd.cli.terminal import Terminal
from hypersdkd.model.problem import ProblemError


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line (``sys.argv`` by default); the exit status. A shell that completes one is answered."""
    # Python gives None where a standard stream is closed, and argparse does not expect that.
    sys.stdout, sys.stderr = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    terminal = Terminal(sys.stdout, sys.stderr, os.environ)
    for stream in (terminal.out, terminal.err):
        if isinstance(stream, io.TextIOWrapper):
            # Whatever the locale can encode, a name never ends the program.
            stream.reconfigure(errors="backslashreplace")
    if "_ARGCOMPLETE" in os.environ:
        importlib.import_module("hypersdkd.cli.completion").complete(build_parser())
    words = sys.argv[1:] if words is None else words
    try:
        status = _run(words, terminal)
        terminal.out.flush()
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _silence(terminal)
        return exits.PIPE_CLOSED
    except OSError as error:
        _silence(terminal)
        terminal.note("ERROR", f"Input or output failed: {error}")
        return exits.FAILED
    return status


def _run(words: Sequence[str], terminal: Terminal) -> int:
    options = {word.lstrip("-") for word in takewhile(lambda word: word != "--", words) if word.startswith("-")}
    try:
        arguments = build_parser().parse_args(normalise(words))
        module, _, name = arguments.run.partition(":")
        status: int = getattr(importlib.import_module(module), name)(arguments, terminal)
    except ProblemError as error:
        if "json" in options:
            keys = ("code", "message", "remedy", "path", "detail")
            terminal.json({"error": {key: error.problem.as_dict()[key] for key in keys}}, line=True)
        terminal.problem(error.problem, verbose=bool({"v", "verbose"} & options))
        return exits.exit_status(error.problem.code)
    except SystemExit as end:
        # argparse has printed the help or the version.
        return end.code if isinstance(end.code, int) else exits.FINE
    return status


def _silence(terminal: Terminal) -> None:
    """Keep the interpreter from writing what is left in the buffer when it ends, which would fail again."""
    try:
        descriptor = terminal.out.fileno()
    except (OSError, ValueError):
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, descriptor)
    os.close(sink)
