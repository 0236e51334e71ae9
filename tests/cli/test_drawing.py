"""Tables at several widths. Boards and hostile cells are tested with the terminal."""

from __future__ import annotations

import io

import pytest

from hypersdkd.cli.drawing import draw_table
from hypersdkd.cli.workflow import _CONCESSIONS

HEADINGS = ("ID", "Name", "Stage", "Status", "Progress", "Elapsed", "Reason")
ROW = ["manifest-20261125-013447.json", "manifest-20261125-013447", "CONVERT", "processing", "42%", "1m 30s", "y" * 99]


@pytest.mark.parametrize(
    ("width", "shown", "id_"),
    [
        (40, {"ID", "Status", "Progress"}, "manifest-20…"),
        (80, {"ID", "Stage", "Status", "Progress", "Elapsed"}, ROW[0]),
        (120, set(HEADINGS) - {"Name"}, ROW[0]),
        (300, set(HEADINGS), ROW[0]),
    ],
)
def test_a_list_fits_in_lines_of_one_row_each(
    monkeypatch: pytest.MonkeyPatch, width: int, shown: set[str], id_: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    draw_table(out, HEADINGS, [ROW], _CONCESSIONS, colour=False)
    _, heading, _, row, _ = out.getvalue().splitlines()
    assert len(heading) == len(row) <= width
    assert set(heading.strip("│").replace("│", " ").split()) == shown
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[0] == id_
    assert {"processing", "42%"} <= set(cells)
    if "Reason" in shown:
        assert cells[-1].startswith("y" * 23)


def test_without_rows() -> None:
    out = io.StringIO()
    draw_table(out, HEADINGS, [], colour=False)
    assert "Elapsed" in out.getvalue()
