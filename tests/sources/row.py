"""A row of the table of sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: The result of a row whose disks come out bit by bit as they were; any other result is a problem's code.
EXACT = "bit-exact"


@dataclass(frozen=True)
class Made:
    """A source in a directory of its own: the file that a manifest names, and what its disks hold, in boot order."""

    path: Path
    disks: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Row:
    """A format's variant: ``make`` makes one in an empty directory, by the tool ``made_by``."""

    source_type: str
    variant: str
    made_by: str
    make: Callable[[Path], Made]
    result: str = EXACT

    def __str__(self) -> str:
        return f"{self.source_type}: {self.variant}"
