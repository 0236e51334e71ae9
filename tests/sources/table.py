"""All rows, and the table of ``docs/sources.md`` that is made of them: ``script/sources`` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.sources import appliance, hyperv, plain, vmdk
from tests.sources.row import EXACT, Row

#: Each format's module adds its own.
ROWS: tuple[Row, ...] = (*vmdk.ROWS, *hyperv.ROWS, *plain.ROWS, *appliance.ROWS)

DOCUMENT = Path(__file__).parents[2] / "docs" / "sources.md"
BEGIN, END = "<!-- begin: made by script/sources -->\n", "<!-- end -->\n"


def rendered() -> str:
    """The table's text."""
    lines = ["| source type | variant | made by | result |", "|---|---|---|---|"]
    for row in ROWS:
        result = row.result if row.result == EXACT else f"`{row.result}`"
        lines.append(f"| `{row.source_type}` | {row.variant} | {row.made_by} | {result} |")
    return "\n".join(lines) + "\n"


def document() -> str:
    """The document with a table as it ought to be."""
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}{rendered()}{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
