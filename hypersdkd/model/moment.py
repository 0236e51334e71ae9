"""Moments as text: RFC 3339 for those who read, the local date for the directories of ended jobs."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The time of day as events and records carry it: see :func:`rfc3339`."""
    return rfc3339(datetime.now(UTC))


def rfc3339(moment: datetime) -> str:
    """``moment``, which is in UTC, with milliseconds and a ``Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def today() -> str:
    """The local date, which names the directory of jobs that end now."""
    return datetime.now().astimezone().date().isoformat()


def seconds_between(start: str, end: str) -> float | None:
    """Seconds, to the millisecond; ``None`` when either time is missing."""
    try:
        return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)
    except (ValueError, TypeError):  # no time, or one with and one without a zone
        return None
