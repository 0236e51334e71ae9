"""The tables of docs/seed.md: what was asked for, where it is, which tests hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "seed.md").read_text()

#: The configuration that was asked for, byte for byte.
(CONFIGURATION,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One line: ``command`` is what is typed, empty where it is no command; ``tests`` are node IDs."""

    section: str
    asked: str
    command: str
    tests: tuple[str, ...]


def _row(section: str, line: str) -> Row:
    asked, _here, held_by = (cell.strip() for cell in line.strip("|").split(" | "))
    command = re.search(r"`\$ ([^`]+)`", asked)
    return Row(section, asked, command[1] if command else "", tuple(re.findall(r"`([^`]+)`", held_by)))


def _rows() -> list[Row]:
    found = []
    for section, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        lines = [line for line in text.splitlines() if line.startswith("|")]
        found += [_row(section, line) for line in lines[2:]]
    return found


ROWS = _rows()
