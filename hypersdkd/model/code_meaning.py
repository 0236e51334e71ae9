"""What a problem's code means, apart from any problem."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CodeMeaning:
    """What a code means, its usual remedy, and the HTTP status it maps to."""

    meaning: str
    remedy: str
    http: int = field(default=400)
