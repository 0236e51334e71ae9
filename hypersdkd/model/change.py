"""A change: what live listeners are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``id`` is opaque and grows.

    ``kind`` is ``job`` (a row of a job list, or ``{"id", "status": "gone"}``), ``claimed`` and ``ended`` (once for each
    time that this daemon takes up a job's file, and ends the job), ``guest`` (a guest's event with its ``job``),
    ``daemon`` (what was switched) or ``reset`` (some changes are lost for this listener: look anew).
    """

    id: str
    kind: str
    data: Mapping[str, object]
