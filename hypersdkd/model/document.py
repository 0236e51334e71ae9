"""From text to an object of plain JSON values, for JSON and YAML, with limits that hostile text cannot pass.

The result holds ``dict`` (text keys), ``list``, ``str``, ``int``, finite ``float``, ``bool`` and ``None``
only, so that it can always be written as JSON again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from hypersdkd.model.place import duplicate_place
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.wording import kind, shown
from hypersdkd.model.yaml_document import MAX_DEPTH, parse_yaml, too_deep, too_many_values

#: Bytes of a document at most; the Go API's limit for a body.
MAX_BYTES: Final = 10 * 1024 * 1024

#: Values of a JSON document at most: 10,000 guests of 100 values each.
MAX_VALUES: Final = 1_000_000

_BOM: Final = b"\xef\xbb\xbf"
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\[uU](?:0000)?[dD][89a-fA-F]")
#: What may be the beginning of a JSON value that the end of the text cut off.
_CUT_VALUE = re.compile(r"|-|\.|[eE][-+]?|t|tr|tru|f|fa|fal|fals|n|nu|nul|\\?u[0-9a-fA-F]{0,4}")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document: its object, the syntax it had (``json`` or ``yaml``), and warnings."""

    value: dict[str, object]
    syntax: str
    warnings: tuple[Problem, ...] = ()


def parse_document(text: bytes, syntax: str = "") -> Document:
    """Parse a document that must be one object; ``syntax`` is ``json``, ``yaml`` or empty (find out).

    Bytes that are not UTF-8 become U+FFFD with a warning. JSON ``null`` is an empty object, as in the Go
    API. Raises ``ProblemError`` with a code ``document-…``, never anything else.
    """
    if len(text) > MAX_BYTES:
        raise fail("document-too-large", f"The document has {len(text)} bytes; {MAX_BYTES} are allowed")
    if text.startswith(_BOM):
        raise fail(
            "document-syntax",
            "The text starts with a byte order mark",
            detail="line 1, column 1",
            remedy="Save the file as UTF-8 without a byte order mark.",
        )
    decoded, warnings = _decode(text)
    if not decoded.strip():
        raise fail("document-syntax", "The document is empty", detail="line 1, column 1")
    syntax = syntax or _find_syntax(decoded)
    if syntax == "json" and _may_hold_too_much(text):
        raise too_many_values(MAX_VALUES)
    value = _parse_json(decoded) if syntax == "json" else parse_yaml(decoded)
    if _SURROGATE_ESCAPE.search(decoded):
        value = _without_surrogates(value)
    if not isinstance(value, dict):
        raise fail("document-shape", f"The document must be an object of keys and values, found {kind(value)}")
    return Document(value, syntax, warnings)


class JsonEnd(StrEnum):
    """What JSON text is as far as it goes."""

    OBJECT = "object"
    """A whole object. No proper part of an object is one, so nothing is missing."""
    CUT = "cut"
    """It merely ends too early, so that its writer may still add the rest; empty text, too."""
    OTHER = "other"
    """Broken, not an object, or more than is read: more text would not help."""


def json_end(text: bytes) -> JsonEnd:
    """How JSON text ends. Reads it once, and not at all when it has more values than a document may hold."""
    if len(text) > MAX_BYTES or _may_hold_too_much(text):
        return JsonEnd.OTHER
    decoded = text.decode("utf-8", "replace").rstrip()
    try:
        return JsonEnd.OBJECT if isinstance(json.loads(decoded), dict) else JsonEnd.OTHER
    except json.JSONDecodeError as error:
        cut = error.msg != "Extra data" and _CUT_VALUE.fullmatch(decoded, error.pos) is not None
        return JsonEnd.CUT if cut or error.msg.startswith("Unterminated string") else JsonEnd.OTHER
    except (ValueError, RecursionError):
        return JsonEnd.OTHER


def _may_hold_too_much(text: bytes) -> bool:
    """Whether JSON may have more than :data:`MAX_VALUES` values: each but the first has one of these before it."""
    return sum(map(text.count, (b",", b"[", b"{"))) > MAX_VALUES


def _decode(text: bytes) -> tuple[str, tuple[Problem, ...]]:
    try:
        return text.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        before = text[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        warning = Problem(
            "manifest-encoding",
            f"The text is not UTF-8 at line {line}, column {column}; bad bytes were replaced by U+FFFD",
            detail=f"line {line}, column {column}",
        )
        return text.decode("utf-8", "replace"), (warning,)


def _find_syntax(text: str) -> str:
    """JSON for what looks like it, so that broken JSON is reported as JSON; all else is YAML."""
    stripped = text.strip()
    return "json" if stripped[0] in "{[" or stripped == "null" else "yaml"


def _parse_json(text: str) -> object:
    try:
        value: object = json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise fail(
            "document-syntax",
            f"{error.msg} at line {error.lineno}, column {error.colno}",
            detail=f"line {error.lineno}, column {error.colno}",
        ) from error
    except _DuplicateKeyError as error:
        line, column = duplicate_place(text)
        raise fail(
            "document-duplicate-key",
            f"The key {shown(error.key)} stands twice in one object, again at line {line}, column {column}",
            detail=f"line {line}, column {column}",
        ) from error
    except RecursionError as error:
        raise too_deep() from error
    except ValueError as error:
        reason = str(error) if isinstance(error, _BadNumberError) else "it has too many digits"
        raise fail("document-syntax", f"A number cannot be read: {reason}") from error
    _check_depth(value)
    return {} if value is None else value


class _DuplicateKeyError(Exception):
    """Carries the key out of the JSON scanner, which knows no places."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class _BadNumberError(ValueError):
    """A number that JSON does not have."""


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise _BadNumberError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _BadNumberError("it is out of range")
    return number


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise too_deep()


def _without_surrogates(value: object) -> object:
    """Replace halves of surrogate pairs, which no UTF-8 text can hold, as the Go API does."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        result = {_SURROGATE.sub("\ufffd", key): _without_surrogates(item) for key, item in value.items()}
        if len(result) != len(value):
            raise fail("document-duplicate-key", "Two keys of one object are the same but for broken characters")
        return result
    return value
