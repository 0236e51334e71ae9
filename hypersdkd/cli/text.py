"""Values as text for people: made harmless, and with units that are easy to read."""

from __future__ import annotations

import re
from typing import Final

#: Characters of one value that are shown; a job's ID has at most 200 bytes, a file name 255.
LONGEST: Final = 256

#: Whole terminal sequences, so that their parameters vanish with them: CSI, then OSC, DCS, PM, APC and
#: SOS with their text, then two-character escapes (ECMA-48, sections 5.4 and 5.6).
_SEQUENCE: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?"
)


def clean(text: object, limit: int = LONGEST) -> str:
    """``text`` as one harmless line of at most ``limit`` characters.

    Control sequences, control characters, bidirectional controls and lone surrogates are removed, any
    white space becomes a space. What is cut off is marked by an ellipsis.
    """
    # A cheap first cut, generous enough for sequences that will vanish.
    given = str(text)[: limit * 16]
    if not given.isprintable():
        given = _SEQUENCE.sub("", given)
        given = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in given)
    if len(given) > limit or len(str(text)) > limit * 16:
        return given[: limit - 1] + "…"
    return given


def is_offered(name: str, typed: str) -> bool:
    """Whether a file is offered to who typed the beginning of its name: hidden ones not unasked, none that a terminal
    would not show as it is."""
    return name.startswith(typed) and name.isprintable() and (bool(typed) or not name.startswith("."))


def counted(count: object, noun: str) -> str:
    """A number with what it counts: ``1 CPU``, ``2 CPUs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: int) -> str:
    """Whole seconds as ``59s``, ``1m 30s`` or ``25h 1m``."""
    minutes, rest = divmod(max(seconds, 0), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s"


def size(count: int) -> str:
    """Bytes with a binary unit: ``512 B``, ``1.5 GiB``."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
