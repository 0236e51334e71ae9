"""Tables at several widths. Boards and hostile cells are tested with the terminal."""

from __future__ import annotations

import io

import pytest

from hypersdkd.cli.drawing import draw_table

HEADINGS = ("ID", "Name", "Stage", "Status", "Progress", "Elapsed")
ROW = ["manifest-20261125-013447.json", "manifest-20261125-013447", "CONVERT", "processing", "42%", "1m 30s"]


@pytest.mark.parametrize(("width", "name"), [(40, False), (60, False), (80, False), (120, True)])
def test_it_fits_and_gives_up_the_spare_column_first(monkeypatch: pytest.MonkeyPatch, width: int, name: bool) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    draw_table(out, HEADINGS, [ROW], colour=False, spare="Name")
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert ("Name" in lines[1]) == name
    assert ("processing" in out.getvalue()) == (width >= 60)
    body = lines[next(index for index, line in enumerate(lines) if line.startswith("├")) + 1 : -1]
    first = "".join(line.split("│")[1].strip() for line in body)
    assert first == ROW[0]


def test_without_rows() -> None:
    out = io.StringIO()
    draw_table(out, HEADINGS, [], colour=False)
    assert "Elapsed" in out.getvalue()
