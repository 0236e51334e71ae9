"""What a differencing image says of its parent: who it is, and by which names it was known on another machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class ParentClaim:
    """``names`` are file names to be tried in that order; ``ids`` those that the parent may have."""

    names: tuple[str, ...]
    ids: frozenset[bytes]


def path_names(paths: Iterable[str]) -> tuple[str, ...]:
    """The file names of paths of Windows or of another system, or of ``file:`` addresses; each once."""
    names: dict[str, None] = {}
    for path in paths:
        text = path.split("\0", 1)[0]
        text = unquote(text) if text.startswith("file:") else text
        name = text.replace("\\", "/").rpartition("/")[2]
        if name not in {"", ".", ".."}:
            names[name] = None
    return tuple(names)
