"""Where in a text something stands: lines and columns for JSON and YAML, 1-based, counted in characters.

Broken text is no error here: the nearest place that can be told is returned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import yaml

from hypersdkd.model.problem import Problem
from hypersdkd.model.wording import path_parts

_JSON_LEXEME = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]|[^\s\[\]{},:"]++', re.DOTALL)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_COLUMN: Final = re.compile(r"line (\d+), column (\d+)")


@dataclass(frozen=True, slots=True)
class _Mark:
    kind: Literal["object", "list", "end", "scalar"]
    value: str
    line: int
    column: int


@dataclass(slots=True)
class _Frame:
    """An object or list that is open; ``on_path`` when all that leads to it has been asked for."""

    is_object: bool
    on_path: bool
    index: int = -1
    key: str | None = None
    seen: set[str] = field(default_factory=set)


def place(text: bytes, syntax: str, path: str) -> tuple[int, int]:
    """Line and column of ``path`` (``vms[1].pipeline.load.source_path``): of a key, or of a list's item.

    What is missing has the place of its nearest parent that is there; an empty path is the document's start.
    ``syntax`` is ``json``, ``yaml`` or empty (find out).
    """
    target = path_parts(path)
    found = (1, 1)
    frames: list[_Frame] = []
    for mark in _marks(text.decode("utf-8", "replace"), syntax):
        if mark.kind == "end":
            del frames[-1:]
            continue
        on_path = True
        part, is_value = _step(frames, mark)
        if frames:
            depth = len(frames)
            on_path = frames[-1].on_path and depth <= len(target) and target[depth - 1] == part
        if on_path and not is_value:
            found = (mark.line, mark.column)
            if len(frames) == len(target):
                break
        if mark.kind != "scalar":
            frames.append(_Frame(mark.kind == "object", on_path))
    return found


def problem_place(text: bytes, syntax: str, problem: Problem) -> tuple[int, int]:
    """Line and column of a problem of the document ``text``: where its syntax breaks, else its path."""
    stated = _LINE_COLUMN.match(problem.detail) if problem.code.startswith(("document-", "manifest-encoding")) else None
    if stated:
        return int(stated[1]), int(stated[2])
    return place(text, syntax, problem.path)


def duplicate_place(text: str) -> tuple[int, int]:
    """Line and column of the first key of JSON text that its object has already; (1, 1) if there is none."""
    frames: list[_Frame] = []
    for mark in _json_marks(text):
        if mark.kind == "end":
            del frames[-1:]
            continue
        was_key = bool(frames) and frames[-1].is_object and frames[-1].key is None
        _step(frames, mark)
        if was_key:
            if mark.value in frames[-1].seen:
                return mark.line, mark.column
            frames[-1].seen.add(mark.value)
        if mark.kind != "scalar":
            frames.append(_Frame(mark.kind == "object", False))
    return 1, 1


def _step(frames: list[_Frame], mark: _Mark) -> tuple[str | int, bool]:
    """Move on in the innermost object or list: the key or index reached, and whether it is a key's value."""
    if not frames:
        return "", False
    frame = frames[-1]
    if not frame.is_object:
        frame.index += 1
        return frame.index, False
    if frame.key is None:
        frame.key = mark.value
        return mark.value, False
    part, frame.key = frame.key, None
    return part, True


def _marks(text: str, syntax: str) -> Iterator[_Mark]:
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if syntax == "json" or (not syntax and start in ("{", "[")):
        return _json_marks(text)
    return _yaml_marks(text)


def _json_marks(text: str) -> Iterator[_Mark]:
    line, line_start, last = 1, 0, 0
    for match in _JSON_LEXEME.finditer(text):
        lexeme, start = match[0], match.start()
        newlines = text.count("\n", last, start)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", last, start) + 1
        last = start
        column = start - line_start + 1
        if lexeme == "{":
            yield _Mark("object", "", line, column)
        elif lexeme == "[":
            yield _Mark("list", "", line, column)
        elif lexeme in ("}", "]"):
            yield _Mark("end", "", line, column)
        else:
            yield _Mark("scalar", _json_text(lexeme), line, column)


def _json_text(lexeme: str) -> str:
    if not lexeme.startswith('"'):
        return lexeme
    try:
        return str(json.loads(lexeme))
    except ValueError:
        return lexeme


def _yaml_marks(text: str) -> Iterator[_Mark]:
    try:
        loader = _LOADER(text)
        while (event := loader.get_event()) is not None:
            mark = event.start_mark
            line, column = mark.line + 1, mark.column + 1
            if isinstance(event, yaml.MappingStartEvent):
                yield _Mark("object", "", line, column)
            elif isinstance(event, yaml.SequenceStartEvent):
                yield _Mark("list", "", line, column)
            elif isinstance(event, yaml.CollectionEndEvent):
                yield _Mark("end", "", line, column)
            elif isinstance(event, yaml.ScalarEvent):
                yield _Mark("scalar", event.value, line, column)
            elif isinstance(event, yaml.AliasEvent):
                yield _Mark("scalar", "", line, column)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
