"""Go's ``encoding/json`` reading replies into the structs of the original clients, as strict as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime

ZERO_TIME = "0001-01-01T00:00:00Z"
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})([.,]\d+)?(Z|[+-]\d{2}:\d{2})")


class UndecodableError(ValueError):
    """Go would give up."""


class Number(str):
    """A number's text, since 60.0 is none to Go where it wants a whole one."""


def whole(value: object) -> int:
    if not isinstance(value, Number) or not re.fullmatch(r"-?\d+", value) or not -(2**63) <= int(value) < 2**63:
        raise UndecodableError(f"{value!r} is no int")
    return int(value)


def text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, Number):
        raise UndecodableError(f"{value!r} is no string")
    return value


def truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise UndecodableError(f"{value!r} is no bool")
    return value


def instant(value: object) -> str:
    match = _TIME.fullmatch(text(value))
    if match is None:
        raise UndecodableError(f"{value!r} is no RFC 3339 time")
    seconds, fraction, zone = match.groups()
    datetime.fromisoformat(seconds + zone)
    zone = "Z" if zone in {"Z", "+00:00"} else zone
    return seconds + (fraction or "").replace(",", ".").rstrip("0").rstrip(".") + zone


Field = tuple[Callable[[object], object], object]
STATUS: Mapping[str, Field] = {
    "mode": (text, ""),
    "running": (truth, False),
    **dict.fromkeys(("queue_depth", "active_jobs", "processed_today", "failed_today"), (whole, 0)),
    **dict.fromkeys(("max_workers", "uptime_seconds"), (whole, 0)),
}
JOB: Mapping[str, Field] = {
    **dict.fromkeys(("id", "name", "stage", "status"), (text, "")),
    **dict.fromkeys(("progress", "elapsed_seconds"), (whole, 0)),
    "started_at": (instant, ZERO_TIME),
}


def jobs(value: object) -> list[dict]:
    if not isinstance(value, list):
        raise UndecodableError(f"{value!r} is no list")
    return [struct(JOB, item if item is not None else {}) for item in value]


JOBS: Mapping[str, Field] = {"jobs": (jobs, None), "total": (whole, 0)}
REPLIES = {"status": STATUS, "jobs": JOBS}


def struct(fields: Mapping[str, Field], value: object) -> dict:
    """An object as a struct: unknown keys ignored, null is zero, the last key that matches in any case wins."""
    if not isinstance(value, dict):
        raise UndecodableError(f"{value!r} is no object")
    found = {name: zero for name, (_, zero) in fields.items()}
    for key, item in value.items():
        name = key if key in fields else next((each for each in fields if each.casefold() == key.casefold()), None)
        if name is not None and item is not None:
            found[name] = fields[name][0](item)
    return found


def decode(reply: str, document: str | bytes) -> dict:
    """What a client of the Go API makes of a reply. ``ValueError`` where it would give up."""
    value = json.loads(document, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    return struct(REPLIES[reply], value)


def _refuse(constant: str) -> None:
    raise UndecodableError(f"{constant} is no JSON")


def case_twins(value: object) -> list[str]:
    """Keys of one object that differ only in case, anywhere in ``value``."""
    if isinstance(value, list):
        return [twin for item in value for twin in case_twins(item)]
    if not isinstance(value, dict):
        return []
    folded = [key.casefold() for key in value]
    twins = [key for key in value if folded.count(key.casefold()) > 1]
    return twins + [twin for item in value.values() for twin in case_twins(item)]
