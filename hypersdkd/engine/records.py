"""Reading the records beside ended jobs. They may be anybody's and may hold anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from hypersdkd.host.files import read_regular

#: Bytes read of one record; ours of 10,000 guests has less than half of it.
LIMIT: Final = 64 << 20

#: Bytes in which the small members of a record of ours stand, and those in which they stand if an error's text is long.
_HEAD: Final = 64 << 10
_LONG_HEAD: Final = 1 << 20

_SPACE: Final = re.compile(r"[ \t\r\n]*")


def read_record(path: Path) -> Mapping[str, object]:
    """The whole record; empty if there is none, or none that is one object of JSON. Blocks."""
    try:
        return _parse(read_regular(path, LIMIT))
    except OSError:
        return {}


def read_head(path: Path) -> Mapping[str, object]:
    """The record, or of a long one those members that stand near its beginning. Blocks."""
    members: dict[str, object] = {}
    try:
        for limit in (_HEAD, _LONG_HEAD):
            content = read_regular(path, limit)
            if len(content) < limit:
                return _parse(content)
            members = _members(content.decode("utf-8", "replace"))
            if "id" in members:
                break
    except OSError:
        return {}
    return members


def _parse(content: bytes) -> Mapping[str, object]:
    try:
        record = json.loads(content, parse_constant=_refuse_number, parse_float=_finite_number)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _members(text: str) -> dict[str, object]:
    """The whole members of an object that is cut off."""
    decoder = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite_number)
    members: dict[str, object] = {}
    place = _after(text, 0, "{")
    try:
        while place > 0:
            key, place = decoder.raw_decode(text, place)
            value, place = decoder.raw_decode(text, _after(text, place, ":"))
            place = _after(text, place, ",")  # without it a number may be cut
            if place > 0:
                members[str(key)] = value
    except (ValueError, RecursionError, IndexError):
        pass
    return members


def _after(text: str, place: int, sign: str) -> int:
    """The place after ``sign`` and the space around it; 0 if something else is there."""
    at = _space_end(text, place)
    return _space_end(text, at + 1) if text[at : at + 1] == sign else 0


def _space_end(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)
