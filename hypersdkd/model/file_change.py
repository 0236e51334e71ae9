"""A change of a file in a guest, as the report tells it: bounded, and no byte of the guest's is ever special in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hypersdkd.model.problem import one_line

#: Characters of a text that are shown; the rest is counted.
SHOWN: Final = 4096


@dataclass(frozen=True, slots=True)
class FileChange:
    """What became of ``path``. ``action`` is ``written``, ``appended``, ``removed``, ``linked``, or ``ran``
    for a program of the guest, whatever it changed; its command line is ``after``.

    ``before`` and ``after`` are ``None`` where there was nothing, or is nothing any more; texts, whose lines that are
    the same at the beginning and at the end are left out (``line`` is the number of the first that is shown, from 1);
    or of binary files ``{"bytes": …, "sha256": …}``.
    """

    path: str
    action: str
    before: str | Mapping[str, object] | None
    after: str | Mapping[str, object] | None
    line: int = 1

    def as_dict(self) -> dict[str, object]:
        """JSON shape."""
        return {
            "path": one_line(self.path),
            "action": self.action,
            "line": self.line,
            "before": self.before,
            "after": self.after,
        }


def change_of(path: str, action: str, before: bytes | None, after: bytes | None) -> FileChange:
    """The change from one content to the other; ``None`` for a file that is not there."""
    old, new = _text(before), _text(after)
    if old is None or new is None:
        return FileChange(path, action, _digest(before), _digest(after))
    if before is None or after is None:
        return FileChange(path, action, None if before is None else _shown(old), None if after is None else _shown(new))
    lines = old.split("\n"), new.split("\n")
    head = _same(*lines)
    tail = _same(lines[0][head:][::-1], lines[1][head:][::-1])
    left, right = ("\n".join(part[head : len(part) - tail]) for part in lines)
    return FileChange(path, action, _shown(left), _shown(right), head + 1)


def _digest(content: bytes | None) -> Mapping[str, object] | None:
    """What is told of content that is no text."""
    return None if content is None else {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _text(content: bytes | None) -> str | None:
    """The text, empty where there is no file; ``None`` for what is no text."""
    try:
        text = (content or b"").decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _same(old: list[str], new: list[str]) -> int:
    """How many items at the beginning are the same."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((number for number, (left, right) in pairs if left != right), min(len(old), len(new)))


def _shown(text: str) -> str:
    lines = "\n".join("\t".join(map(one_line, line.split("\t"))) for line in text[:SHOWN].split("\n"))
    rest = len(text) - SHOWN
    return lines if rest <= 0 else f"{lines}… and {rest} characters more"
