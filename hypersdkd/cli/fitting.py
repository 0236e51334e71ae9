"""Making a row or a table fit a width: what matters least is shortened or given up first, the rest stays whole."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

#: What may be given up, in order: a column's name, and the width down to which it is cut (0: it is left out).
Concessions = Sequence[tuple[str, int]]


def width_of(text: str) -> int:
    """Columns of a terminal that ``text`` (clean, one line) takes: two for a wide character, none for a mark."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns; where its right end is missing there is an ellipsis."""
    if width_of(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while width_of(kept) > width - 1 and kept:
        kept = kept[:-1]
    return kept + "…"


def fit(
    columns: Mapping[str, Sequence[str]], width: int, concessions: Concessions, *, gap: int, edge: int = 0
) -> dict[str, list[str]]:
    """``columns`` (name to cells) cut and left out until they fit ``width``, or nothing more may be given up.

    A concession is made whole if those before it do not suffice; room that is left over then goes to what was cut.

    ``gap`` columns lie between two of them, ``edge`` at both ends together. Empty columns take no room.
    """
    natural = {name: max(map(width_of, cells)) for name, cells in columns.items() if any(cells)}
    wanted = dict(natural)

    def room() -> int:
        return width - sum(wanted.values()) - gap * (len(wanted) - 1) - edge

    for name, least in concessions:
        if room() >= 0:
            break
        if least and name in wanted:
            wanted[name] = min(wanted[name], least)
        else:
            wanted.pop(name, None)
    for name in wanted:  # what was cut gets back what was left over
        wanted[name] = min(natural[name], wanted[name] + max(room(), 0))
    return {name: [cut(cell, wanted[name]) for cell in columns[name]] for name in wanted}
