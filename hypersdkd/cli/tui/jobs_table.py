"""The table of jobs: a page of one state's, by name if asked for. Never all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from hypersdkd.cli.reply import rows, text, whole
from hypersdkd.cli.tui.words import job_cells
from hypersdkd.client.http import Daemon, Reply

#: Jobs of one page.
PAGE: Final = 100

_HEADINGS: Final = ("Name", "Status", "Stage", "%", "Time")

#: Columns that the others take of the screen, with the table's own gaps.
_OTHERS: Final = 44


class JobsTable(DataTable[Text]):
    """Rows of a page, and what page it is: ``status``, ``part`` of the name, how many there are."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=True, id="jobs")
        self.status = "active"
        self.part = ""
        self.total = 0
        self._cursors = [""]
        self._following = ""
        self._cells: dict[str, tuple[str, ...]] = {}

    def on_mount(self) -> None:
        """Columns of fixed width: what fits is known without the rows."""
        for heading, width in zip(_HEADINGS, (36, 11, 10, 4, 8), strict=True):
            self.add_column(heading, width=width, key=heading)

    def on_resize(self) -> None:
        """The name takes what is left."""
        for column in list(self.columns.values())[:1]:
            column.width = max(10, self.size.width - _OTHERS)
        self.refresh(layout=True)

    @property
    def place(self) -> str:
        """Which rows these are, in words."""
        first = PAGE * (len(self._cursors) - 1)
        return f"{first + 1}-{first + len(self._cells)} of {self.total}" if self._cells else "no jobs"

    @property
    def chosen(self) -> str:
        """The ID under the cursor, empty where there is none."""
        ids = list(self._cells)
        return ids[self.cursor_row] if 0 <= self.cursor_row < len(ids) else ""

    def first_page(self, status: str, part: str) -> None:
        """Begin anew with other jobs."""
        self.status, self.part, self._cursors, self._following = status, part, [""], ""

    def turn(self, pages: int) -> bool:
        """To the next page (1) or the one before (-1), if there is one."""
        if pages > 0 and self._following:
            self._cursors.append(self._following)
        elif pages < 0 and len(self._cursors) > 1:
            self._cursors.pop()
        else:
            return False
        return True

    def question(self, daemon: Daemon) -> partial[Reply]:
        """What to ask for this page."""
        return partial(daemon.jobs, self.status, q=self.part, limit=PAGE, cursor=self._cursors[-1])

    def take(self, reply: Reply) -> None:
        """Show a page."""
        self.total, self._following = whole(reply, "total"), text(reply, "cursor")
        self._show({text(row, "id"): job_cells(row) for row in rows(reply, "jobs")})

    def take_running(self, running: Sequence[Mapping[str, object]]) -> None:
        """Bring rows up to date that are shown."""
        self._show({**self._cells, **{i: job_cells(row) for row in running if (i := text(row, "id")) in self._cells}})

    def _show(self, cells: dict[str, tuple[str, ...]]) -> None:
        if list(cells) == list(self._cells):
            for number, (job_id, row) in enumerate(cells.items()):
                if row != self._cells[job_id]:
                    for column, cell in enumerate(row):
                        self.update_cell_at(Coordinate(number, column), _plain(cell))
        else:
            chosen, ids = self.chosen, list(cells)
            self.clear()
            for row in cells.values():
                self.add_row(*map(_plain, row))
            self.move_cursor(row=ids.index(chosen) if chosen in ids else 0)
        self._cells = cells


def _plain(cell: str) -> Text:
    """No markup is read in it; what is too long for its column is cut."""
    return Text(cell, no_wrap=True, overflow="ellipsis")
