"""Tables and live boards by rich, for terminals only. Its import takes 30 ms, so it has a module of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TextIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hypersdkd.cli.fitting import Concessions, fit
from hypersdkd.cli.text import clean

#: Cells of this many characters are not worth folding, unless the terminal has fewer columns than the second.
_SHORT: Final = 12
_NARROW: Final = 60


def _console(out: TextIO, *, colour: bool) -> Console:
    return Console(file=out, force_terminal=True, no_color=not colour, highlight=False, markup=False, emoji=False)


def draw_table(
    out: TextIO,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    concessions: Concessions = (),
    *,
    colour: bool,
) -> None:
    """A table as wide as the terminal allows; ``concessions`` make it narrower.

    Where none are made, short cells stay whole if there is room, and long ones are folded. The cells are clean
    already; they are given as ``Text``, so that no markup in them is read.
    """
    console = _console(out, colour=colour)
    columns = {heading: (heading, *cells) for heading, *cells in zip(headings, *rows, strict=True)}
    # A box takes three characters a column, and one.
    fitted = fit(columns, console.width, concessions, gap=3, edge=4)
    table = Table(box=box.ROUNDED, header_style="bold" if colour else "")
    for heading, *cells in fitted.values():
        short = max(map(len, (heading, *cells))) <= _SHORT
        table.add_column(heading, overflow="fold", no_wrap=bool(concessions) or (short and console.width >= _NARROW))
    for row in zip(*(cells for _, *cells in fitted.values()), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)


class LiveBoard:
    """Lines that are redrawn in place."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def update(self, lines: Sequence[str]) -> None:
        """Show ``lines`` instead of those before; a line that is too long is cut, never wrapped."""
        text = Text("\n".join(clean(line) for line in lines), no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)


@contextmanager
def live_board(out: TextIO, *, colour: bool) -> Iterator[LiveBoard]:
    """A board that leaves its last state on the screen and the cursor visible, whatever ends it."""
    with Live(console=_console(out, colour=colour), auto_refresh=False, redirect_stdout=False) as live:
        yield LiveBoard(live)
