"""YAML to plain JSON values, straight from the parser's events.

No node tree is built and nothing recurses, so the limits stop a hostile text while it is being read: depth,
number of values and characters are counted with every alias written out, although aliases share memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import yaml

from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.wording import shown

#: Objects and lists inside each other at most; a manifest needs six.
MAX_DEPTH: Final = 32

#: Values of a YAML document at most, and its bytes: about what is read in a second, for reading holds the
#: interpreter's lock. JSON, which is read far faster, may hold more.
MAX_VALUES: Final = 250_000
MAX_YAML_BYTES: Final = 2 * 1024 * 1024

#: Characters that the values may have once all aliases are written out.
MAX_CHARACTERS: Final = 10 * 1024 * 1024

#: Characters of a number at most; Python itself refuses to write integers of over 4,300 digits.
MAX_NUMBER_LENGTH: Final = 1000

#: A line that libyaml may take for a directive. No manifest needs one, and the time for many grows with their square.
_DIRECTIVE: Final = re.compile("(?:^|[\r\n\x85\u2028\u2029])\ufeff?%")

_TAG: Final = "tag:yaml.org,2002:"


class _Mark(Protocol):
    line: int
    column: int


class _Loader(Protocol):
    """What is used of PyYAML's safe loaders."""

    def get_event(self) -> yaml.Event: ...
    def resolve(self, kind: type, value: str, implicit: tuple[bool, bool]) -> str: ...
    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool: ...
    def construct_yaml_int(self, node: yaml.ScalarNode) -> int: ...
    def construct_yaml_float(self, node: yaml.ScalarNode) -> float: ...
    def dispose(self) -> None: ...


#: The loader on libyaml where PyYAML was built with it: five times faster.
_LOADER: Final[Callable[[str], _Loader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def too_deep() -> ProblemError:
    """The problem of a document that nests too deeply."""
    return fail("document-too-deep", f"The document nests deeper than {MAX_DEPTH} levels")


def too_many_values(limit: int) -> ProblemError:
    """The problem of a document with more values than any manifest needs."""
    return fail("document-too-large", f"The document holds more than {limit} values")


def parse_yaml(text: str) -> object:
    """The one document in ``text``. Dates stay text; merge keys (``<<``) are resolved.

    Raises ``ProblemError`` for anything that is not one document of plain values within the limits.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_YAML_BYTES:
        raise fail("document-too-large", f"The YAML document has {size} bytes; {MAX_YAML_BYTES} are allowed")
    directive = _DIRECTIVE.search(text)
    if directive is not None:
        where = f"line {len(text[: directive.end()].splitlines())}, column 1"
        raise fail("document-syntax", f"A line begins with % at {where}; directives are not read", detail=where)
    try:
        loader = _LOADER(text)
        try:
            return _Builder(loader).document()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        if error.problem and "nesting depth" in error.problem:  # libyaml 0.2.6 has a limit of its own: 1,000
            raise too_deep() from error
        raise _syntax(error.problem or "the text is not YAML", error.problem_mark) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise fail("document-syntax", f"The text is not YAML: {_one_line(str(error))}") from error


def _one_line(text: str) -> str:
    return shown(" ".join(text.split()))[1:-1]


def _syntax(message: str, mark: _Mark | None, code: str = "document-syntax") -> ProblemError:
    if mark is None:
        return fail(code, message)
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    return fail(code, f"{message} at {where}", detail=where)


@dataclass(slots=True)
class _Cost:
    """What a value amounts to with its aliases written out; ``height`` counts containers inside each other."""

    values: int = 0
    characters: int = 0
    height: int = 0


class _Merge:
    """Stands for the key ``<<``."""


@dataclass(slots=True)
class _Frame:
    """An object or list that is being read; ``key`` waits for its value."""

    container: dict[str, object] | list[object]
    anchor: str | None
    before: _Cost
    height: int = 1
    key: str | _Merge | None = None
    merged: list[dict[str, object]] = field(default_factory=list)


class _Builder:
    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[object, _Cost]] = {}
        self._total = _Cost()
        self._result: object = None

    def document(self) -> object:
        next_event = self._loader.get_event
        next_event()  # the start of the stream
        start = next_event()
        if isinstance(start, yaml.StreamEndEvent):
            raise fail("document-syntax", "The document is empty", detail="line 1, column 1")
        event = next_event()
        while not isinstance(event, yaml.DocumentEndEvent):
            self._take(event)
            event = next_event()
        after = next_event()
        if not isinstance(after, yaml.StreamEndEvent):
            raise _syntax("a second document starts", after.start_mark)
        if self._result is None:
            raise fail("document-syntax", "The document is empty", detail="line 1, column 1")
        return self._result

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            cost = _Cost(1, len(event.value))
            self._count(cost)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, cost)
            self._add(value, event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        else:
            self._close(event)

    def _count(self, cost: _Cost, *, aliased: bool = False) -> None:
        self._total.values += cost.values
        self._total.characters += cost.characters
        if self._total.values > MAX_VALUES or self._total.characters > MAX_CHARACTERS:
            if aliased:
                raise fail("document-aliases", "The aliases expand to more than a document may hold")
            raise too_many_values(MAX_VALUES)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            raise _syntax(f"the tag {shown(str(event.tag))} is not allowed", event.start_mark)
        if len(self._stack) >= MAX_DEPTH:
            raise too_deep()
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        before = _Cost(self._total.values, self._total.characters)
        self._count(_Cost(1))
        self._stack.append(_Frame({} if mapping else [], event.anchor, before))

    def _close(self, event: yaml.Event) -> None:
        frame = self._stack.pop()
        if isinstance(frame.container, dict):
            for merged in frame.merged:
                for key, value in merged.items():
                    frame.container.setdefault(key, value)
        if frame.anchor is not None:
            values = self._total.values - frame.before.values
            characters = self._total.characters - frame.before.characters
            self._anchors[frame.anchor] = (frame.container, _Cost(values, characters, frame.height))
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, frame.height + 1)
        self._add(frame.container, event)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor not in self._anchors:
            open_anchor = any(frame.anchor == event.anchor for frame in self._stack)
            message = "an alias refers to itself" if open_anchor else "an alias has no anchor"
            code = "document-aliases" if open_anchor else "document-syntax"
            raise _syntax(message, event.start_mark, code)
        value, cost = self._anchors[event.anchor]
        if len(self._stack) + cost.height > MAX_DEPTH:
            raise too_deep()
        self._count(cost, aliased=True)
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, cost.height + 1)
        self._add(value, event)

    def _add(self, value: object, event: yaml.Event) -> None:
        """Put a finished value where it belongs: the result, a list, a key, or a key's value."""
        if not self._stack:
            self._result = value
            return
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            frame.container.append(value)
        elif frame.key is None:
            frame.key = self._key(value, event, frame.container)
        elif isinstance(frame.key, _Merge):
            for item in value if isinstance(value, list) else [value]:
                if not isinstance(item, dict):
                    raise _syntax("a merge key needs objects", event.start_mark)
                frame.merged.append(item)
            frame.key = None
        else:
            frame.container[frame.key] = value
            frame.key = None

    def _key(self, value: object, event: yaml.Event, container: dict[str, object]) -> str | _Merge:
        if value == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            return _Merge()
        if not isinstance(value, str):
            raise _syntax("a key is not text (write it in quotes)", event.start_mark, "document-shape")
        if value in container:
            message = f"The key {shown(value)} stands twice in one object, again"
            raise _syntax(message, event.start_mark, "document-duplicate-key")
        return value

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        name = tag.removeprefix(_TAG)
        # Sexagesimal numbers are left as text: a MAC address of decimal digits is one.
        if name in ("str", "timestamp", "merge", "value") or (name in ("int", "float") and ":" in event.value):
            return event.value
        if name == "null":
            return None
        try:
            return self._typed(name, yaml.ScalarNode(tag, event.value))
        except (ValueError, LookupError, OverflowError) as error:
            raise _syntax(f"{shown(event.value)} is not allowed here", event.start_mark) from error

    def _typed(self, name: str, node: yaml.ScalarNode) -> bool | int | float:
        """Raises ``ValueError`` or ``LookupError`` for what has no JSON value (NaN, foreign tags)."""
        if name == "bool":
            return bool(self._loader.construct_yaml_bool(node))
        if len(node.value) > MAX_NUMBER_LENGTH:
            raise ValueError("too long")
        if name == "int":
            return int(self._loader.construct_yaml_int(node))
        if name != "float":
            raise ValueError(name)
        number = float(self._loader.construct_yaml_float(node))
        if not math.isfinite(number):
            raise ValueError("not finite")
        return number
