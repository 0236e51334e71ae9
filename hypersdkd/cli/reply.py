"""Reading a daemon's reply: its values are checked here, since what answers may be of any version."""

from __future__ import annotations

from collections.abc import Mapping

from hypersdkd.cli.text import duration
from hypersdkd.model.problem import ProblemError, fail


def whole(reply: Mapping[str, object], key: str) -> int:
    """The whole number at ``key``, 0 if it is absent or null. ``reply-invalid`` for anything else."""
    value = reply.get(key)
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _unreadable(key, "a whole number")


def text(reply: Mapping[str, object], key: str) -> str:
    """The text at ``key``, empty if it is absent or null. ``reply-invalid`` for anything else."""
    value = reply.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise _unreadable(key, "a text")


def rows(reply: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    """The list of objects at ``key``, empty if it is absent or null. ``reply-invalid`` for anything else."""
    value = reply.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return value
    raise _unreadable(key, "a list of objects")


def inner(reply: Mapping[str, object], key: str) -> Mapping[str, object]:
    """The object at ``key``, empty if it is absent or null. ``reply-invalid`` for anything else."""
    value = reply.get(key)
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise _unreadable(key, "an object")


def elapsed(job: Mapping[str, object]) -> str:
    """How long a job ran or has run, ``-`` where that is not known."""
    seconds = whole(job, "elapsed_seconds")
    return duration(seconds) if seconds or job.get("started_at") else "-"


def _unreadable(key: str, expected: str) -> ProblemError:
    return fail("reply-invalid", f"Failed to parse response: {key} is not {expected}")
