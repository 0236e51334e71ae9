"""What reaches the user: lines, tables, JSON, and the choice between terminal and pipe.

Names, messages and log lines come from guests, files and the network. All of them pass ``text.clean``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TextIO

from hypersdkd.cli.fitting import Concessions
from hypersdkd.cli.text import clean
from hypersdkd.model.problem import Problem

_COLOURS: Final = {"SUCCESS": "32", "INFO": "36", "WARNING": "33", "ERROR": "31"}


class Board(Protocol):
    """A few lines that change: redrawn in place on a terminal, written anew where they go to a file."""

    def update(self, lines: Sequence[str]) -> None:
        """Show ``lines`` instead of those before."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Standard output for results, standard error for what is said about them."""

    out: TextIO
    err: TextIO
    environment: Mapping[str, str]

    @property
    def interactive(self) -> bool:
        """Whether the output is a terminal that can be drawn on."""
        return self.out.isatty() and self.environment.get("TERM", "dumb") != "dumb"

    @property
    def width(self) -> int:
        """Columns of the terminal; ``COLUMNS`` in the environment wins."""
        return shutil.get_terminal_size().columns

    def coloured(self, stream: TextIO) -> bool:
        """Whether ``stream`` takes colours: a capable terminal, and no ``NO_COLOR`` (no-color.org)."""
        return (
            stream.isatty() and self.environment.get("TERM", "dumb") != "dumb" and not self.environment.get("NO_COLOR")
        )

    def say(self, text: object = "", limit: int = 4096) -> None:
        """One line of result."""
        self.out.write(clean(text, limit) + "\n")

    def info(self, text: object) -> None:
        """One line of advice beside a result, on standard output."""
        self._labelled(self.out, "INFO", text)

    def note(self, label: str, text: object) -> None:
        """One line about what was done, on standard error; ``label`` is SUCCESS, INFO, WARNING or ERROR."""
        # Results come first, also where both streams end in one file.
        self.out.flush()
        self._labelled(self.err, label, text)

    def problem(self, problem: Problem, *, verbose: bool = False) -> None:
        """A problem as two lines, what and remedy; ``verbose`` adds code, path and detail where there are any."""
        self.note("ERROR", problem.message)
        self.remedy(problem, " (-v shows the detail)" if problem.detail and not verbose else "")
        if verbose:
            path = [f"path: {problem.path}"] if problem.path else []
            for line in (f"code: {problem.code}", *path, *problem.detail.splitlines()[-50:]):
                self.err.write(f"  {clean(line, 1024)}\n")

    def remedy(self, problem: Problem, more: str = "") -> None:
        """What to do about a problem that was named, below it."""
        self.err.write(f"  remedy: {clean(problem.remedy, 1024)}{more}\n")

    def heading(self, text: str) -> None:
        """The title of what follows."""
        self.out.write(f"\x1b[1m{clean(text)}\x1b[0m\n" if self.coloured(self.out) else clean(text) + "\n")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]], concessions: Concessions = ()) -> None:
        """Rows below headings: drawn on a terminal, else in columns that are never cut to a width.

        ``concessions`` are what a terminal that is too narrow for all does without.
        """
        cells = [[clean(cell) for cell in row] for row in rows]
        if self.interactive:
            # rich takes 30 ms to import, and only a terminal needs it.
            from hypersdkd.cli import drawing  # noqa: PLC0415

            drawing.draw_table(self.out, headings, cells, concessions, colour=self.coloured(self.out))
            return
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        for row in (headings, *cells):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.out.write(line.rstrip() + "\n")

    def json(self, value: object, *, line: bool = False) -> None:
        """``value`` as JSON, on one line if asked; ASCII, so that no character of it is special."""
        form = json.dumps(value, separators=(",", ":")) if line else json.dumps(value, indent=2)
        self.out.write(form + "\n")
        self.out.flush()

    @contextmanager
    def board(self) -> Iterator[Board]:
        """A place for lines that change, until the context ends."""
        if not self.interactive:
            yield _Scroll(self)
            return
        # rich takes 30 ms to import, and only a terminal needs it.
        from hypersdkd.cli import drawing  # noqa: PLC0415

        with drawing.live_board(self.out, colour=self.coloured(self.out)) as board:
            yield board

    def _labelled(self, stream: TextIO, label: str, text: object) -> None:
        shown = f"\x1b[{_COLOURS[label]}m{label}\x1b[0m" if self.coloured(stream) else label
        stream.write(f"{shown}  {clean(text, 4096)}\n")


class _Scroll:
    """A board on something that cannot be drawn on: only lines that are new are written."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._shown: frozenset[str] = frozenset()

    def update(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line not in self._shown:
                self._terminal.say(line)
        self._shown = frozenset(lines)
        self._terminal.out.flush()
