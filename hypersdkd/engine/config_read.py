"""Reading a configuration file: its YAML, hyper2kvm's flat keys, and errors said in an operator's words."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hypersdkd.model.problem import Problem, fail

#: A file larger than this is not a configuration (bytes).
SIZE_LIMIT: Final = 1 << 20

#: hyper2kvm's keys that are spelt otherwise here.
RENAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "manifest_workflow_dir": ("workflow", "base_dir"),
    "workflow_dir": ("workflow", "base_dir"),
    "output_dir": ("workflow", "output_dir"),
    "max_concurrent_jobs": ("workflow", "max_workers"),
}

#: hyper2kvm's switches of a mode, the one that wins first.
MODE_SWITCHES: Final[Mapping[str, str]] = {"manifest_workflow_mode": "manifest", "workflow_mode": "disk"}

#: hyper2kvm's keys that nothing here needs, and why.
DROPPED: Final[Mapping[str, str]] = {
    "cmd": "the daemon is a program of its own",
    "command": "the daemon is a program of its own",
    "daemon": "the daemon is a program of its own",
    "watch_dir": "the one-directory daemon does not exist here; use mode and workflow.base_dir",
    "out_format": "each job says its output format; without one it is qcow2",
    "compress": "each job says whether its output is compressed",
    "flatten": "an output never depends on another file",
    "fstab_mode": "each job says what is fixed",
    "regen_initramfs": "each job says what is fixed",
}


#: pydantic's types of error whose text speaks of Python; the words of YAML instead.
WORDS: Final[Mapping[str, str]] = {
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A file as plain values, in the shape of ``Settings``, and what was wrong or old about it."""

    values: Mapping[str, object]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


class _Loader(yaml.SafeLoader):
    """The safe loader, which by itself would let the second of two equal keys win."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[str] = set()
    for key, _value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add(key.value)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def read_file(path: Path) -> Reading:
    """Read ``path`` (YAML, of which JSON is a part). Raises ``config-missing`` when it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise fail("config-missing", f"{path}: {error.strerror}") from error
    if len(text) > SIZE_LIMIT:
        return _refused(path, f"larger than {SIZE_LIMIT} bytes")
    return read_text(text, path)


def read_text(text: bytes, path: Path) -> Reading:
    """The same for text already read; ``path`` is only named in problems."""
    try:
        # _Loader is a SafeLoader: no tag of its own can construct an object.
        values = yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return _refused(path, f"{where}{error.problem or error.context}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return _refused(path, " ".join(str(error).split()))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        return _refused(path, "not a mapping of keys to values")
    strange = [key for key in values if not isinstance(key, str)]
    if strange:
        return _refused(path, f"the key {strange[0]!r} is not text")
    return _translate(values)


def _refused(path: Path, message: str) -> Reading:
    return Reading({}, (Problem("config-invalid", f"{path}: {message}"),), ())


def _translate(values: Mapping[str, object]) -> Reading:
    """Put hyper2kvm's flat keys where they belong. A key of our own wins over the old one that means it."""
    result: dict[str, object] = {}
    old: dict[str, object] = {}
    names: dict[str, str] = {}
    for key, value in values.items():
        name = key.replace("-", "_")  # hyper2kvm reads both
        if name in RENAMED or name in MODE_SWITCHES or name in DROPPED:
            old[name] = value
            names[name] = key
        else:
            result[key] = value
    problems: list[Problem] = []
    if "workflow" in result and result["workflow"] is None:
        del result["workflow"]
    _old_mode(old, result, problems)
    _old_places(old, result)
    return Reading(result, tuple(problems), tuple(_deprecation(name, names[name]) for name in old))


def _old_mode(old: Mapping[str, object], result: dict[str, object], problems: list[Problem]) -> None:
    on = []
    for name, mode in MODE_SWITCHES.items():
        if not isinstance(old.get(name, False), bool):
            problems.append(Problem("config-invalid", f"must be true or false, not {old[name]!r}", path=name))
        elif old.get(name):
            on.append(mode)
    if on:
        result.setdefault("mode", on[0])
    problems.extend(
        Problem("config-invalid", f"this file is for {old[name]!r}, not for a daemon", path=name)
        for name in ("cmd", "command")
        if old.get(name, "daemon") != "daemon"
    )


def _old_places(old: Mapping[str, object], result: dict[str, object]) -> None:
    mode = result.get("mode")
    unused = {"manifest": "workflow_dir", "disk": "manifest_workflow_dir"}.get(str(mode))
    for name, (section, key) in RENAMED.items():
        if name not in old or (name == unused and len(old.keys() & {"workflow_dir", "manifest_workflow_dir"}) == 2):
            continue
        value = old[name]
        if name == "max_concurrent_jobs" and isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:9])
        group = result.setdefault(section, {})
        if isinstance(group, dict):
            group.setdefault(key, value)


def _deprecation(name: str, spelt: str) -> Problem:
    if name in RENAMED:
        message, remedy = "hyper2kvm's key; it still works", f"Write {'.'.join(RENAMED[name])} instead."
    elif name in MODE_SWITCHES:
        message, remedy = "hyper2kvm's key; it still works", f"Write mode: {MODE_SWITCHES[name]} instead."
    else:
        message, remedy = f"hyper2kvm's key; it has no effect: {DROPPED[name]}", "Remove the key."
    return Problem("config-deprecated", message, remedy=remedy, path=spelt)


def explain(error: ValidationError, settings: type[BaseModel]) -> Iterator[Problem]:
    """Each error of a validation as a problem with its path; an unknown key with the nearest known one."""
    for item in error.errors(include_url=False, include_context=False):
        place = tuple(item["loc"])
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        if item["type"] == "extra_forbidden" or (place[:1] == ("plugins",) and item["type"] == "dict_type"):
            yield Problem("config-invalid", f"unknown key{_nearest(str(place[-1]), place[:-1], settings)}", path=path)
            continue
        message = WORDS.get(item["type"], item["msg"].removeprefix("Value error, "))
        got = item["input"]
        if isinstance(got, str | int | float | None) and item["type"] != "value_error":
            message += f", not {got!r:.80}"
        yield Problem("config-invalid", message[0].lower() + message[1:], path=path)


def _nearest(word: str, place: tuple[object, ...], settings: type[BaseModel]) -> str:
    known = [(".".join(at), name) for at, name in known_keys(settings)]
    here = ".".join(str(part) for part in place)
    near = difflib.get_close_matches(word, [name for at, name in known if at == here], 1)
    if near:
        return f"; did you mean {near[0]}?"
    elsewhere = [f"{at}.{name}".lstrip(".") for at, name in known if name == word]
    if elsewhere:
        return f"; did you mean {elsewhere[0]}?"
    return f"; known here: {', '.join(name for at, name in known if at == here)}"


def known_keys(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key of a model and of the groups below it, as (path of its group, name)."""
    for name, field in model.model_fields.items():
        yield at, name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from known_keys(kind, (*at, name))


def split_address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[HOST]:PORT`` as its parts. Raises ``ValueError`` for anything else."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address needs brackets: [::1]:8080")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port[:9]) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``; names other than ``localhost`` are not resolved."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def describe(problems: Sequence[Problem]) -> str:
    """The problems as lines for a terminal or a log: path, message, and each remedy once."""
    lines = []
    for position, problem in enumerate(problems):
        lines.append(f"{problem.path}: {problem.message}" if problem.path else problem.message)
        if all(later.remedy != problem.remedy for later in problems[position + 1 :]):
            lines.append(f"    {problem.remedy}")
    return "\n".join(lines)
