"""A case of the corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: What no output, report or log may have a byte of; a file of it lies outside of all that sources may come from.
SECRET = b"CANARY-7f3a91c5-of-the-host"

#: What a bare tool does with a case.
LEAKS = "leaks"  # the secret is in its output
HANGS = "hangs"
FILLS = "fills the disk"
TAKES = "takes it"  # without any error, though content is missing, made up or without bound
REFUSES = "refuses"


@dataclass(frozen=True)
class Place:
    """Where a case is made: ``here`` is a directory of its own for sources, ``canary`` the file with the secret."""

    here: Path
    canary: Path


#: Does what a user of the bare tool would do; says what came of it.
Bare = Callable[[Path, Path], str]


@dataclass(frozen=True)
class Case:
    """``make`` puts the source into its place. ``bare``, given it and an empty directory, comes to ``does``; where that
    is no harm, ``why`` says why the case is here all the same. ``code`` is the problem's."""

    name: str
    source_type: str
    make: Callable[[Place], Path | str]
    code: str
    bare: Bare
    does: str
    why: str = ""
    load: Mapping[str, object] = field(default_factory=dict)
