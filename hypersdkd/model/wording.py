"""How values and places of foreign documents are written in messages: on one line, harmless, short."""

from __future__ import annotations

import json
import re
from typing import Final

#: Characters of a foreign text that a message shows at most; enough to recognise it.
SHOWN_LENGTH: Final = 60

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_PATH_PART = re.compile(r'\[("(?:[^"\\]|\\.)*+")\]|\[(\d{1,9})\]|([^.\[\]]+)')


def shown(text: str) -> str:
    """A foreign text in double quotes: shortened, everything unprintable escaped."""
    short = text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"
    quoted = json.dumps(short, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in quoted)


def kind(value: object) -> str:
    """What a JSON value is, in words: ``a number``, ``text``, ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    words = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return words.get(type(value), "something else")


def below(path: str, part: str | int) -> str:
    """The path of a member: ``vms`` and 1 make ``vms[1]``; a key that is no plain word is quoted."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if not _PLAIN_KEY.fullmatch(part) or len(part) > SHOWN_LENGTH:
        return f"{path}[{shown(part)}]"
    return f"{path}.{part}" if path else part


def path_parts(path: str) -> tuple[str | int, ...]:
    """The keys and indexes of a path that :func:`below` made; what cannot be read is left out."""
    parts: list[str | int] = []
    for quoted, index, word in _PATH_PART.findall(path):
        if quoted:
            try:
                parts.append(str(json.loads(quoted)))
            except ValueError:
                parts.append(quoted)
        else:
            parts.append(int(index) if index else word)
    return tuple(parts)
