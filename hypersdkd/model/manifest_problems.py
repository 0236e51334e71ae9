"""From what pydantic found to problems: the Go API's phrases where it has one, paths, and remedies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hypersdkd.model.guest import Guest
from hypersdkd.model.manifest_fields import VERSION, closest
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import MANIFEST
from hypersdkd.model.wording import below, kind, shown

#: Keys for which the Go API calls a wrong type what it calls an absence.
_PHRASED: Final = frozenset({"version", "pipeline", "load", "convert", "source_type", "source_path", "output_format"})

#: Unknown keys that are reported one by one at most.
MAX_UNKNOWN_KEYS: Final = 100

#: The Go API's phrases for a batch whose ``vms`` is no list, or an empty one.
VMS_ARRAY: Final = "vms array is required for batch manifests"
ONE_VM: Final = "batch manifest requires at least one VM"

_SUBMIT_PHRASES: Final = {
    "pipeline is required": "pipeline is required for single VM manifest",
    VMS_ARRAY: f"{ONE_VM} in 'vms' array",
    ONE_VM: f"{ONE_VM} in 'vms' array",
}
_EXPECTED: Final = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


def submit_phrase(problem: Problem, taken_for: str = MANIFEST) -> str:
    """The text with which the Go API's submit answers 400 for ``problem``, without its newline.

    The Go API knows no job configs; theirs is like it.
    """
    if problem.code == "document-too-large":
        return f"Failed to read request: {problem.message}"
    if problem.code.startswith("document-"):
        return f"Invalid JSON: {problem.message}"
    return f"Invalid {taken_for.replace('-', ' ')}: {_SUBMIT_PHRASES.get(problem.message, problem.message)}"


def problems_of(error: ValidationError, path: str = "") -> tuple[Problem, ...]:
    """All that pydantic found, in the order of the keys in the models; ``path`` is where the model stands."""
    return tuple(_problem(detail, path) for detail in error.errors(include_url=False))


def _problem(detail: ErrorDetails, path: str) -> Problem:
    for part in detail["loc"]:
        path = below(path, part)
    name = detail["loc"][-1] if detail["loc"] else ""
    found = detail["input"]
    context: Mapping[str, object] = detail.get("ctx", {})
    error = detail["type"]
    if error in ("missing", "empty", "too_short"):
        return Problem("manifest-required", f"{path} is required", path=path)
    if error == "version":
        message = f"{path} {context['found']} is not known here"
        return Problem("manifest-version", message, remedy=f'Set {name} to "{VERSION}".', path=path)
    if error == "name":
        return Problem("name-invalid", f"{path} {context['text']}", path=path)
    if error == "value":
        return Problem("manifest-value", f"{path} {context['text']}", remedy=str(context["remedy"]), path=path)
    if error in _EXPECTED:
        return _wrong_type(path, name, _EXPECTED[error], found)
    # Bounds of numbers and lengths: pydantic's own words say it well.
    return Problem("manifest-value", f"{path}: {detail['msg']}", remedy="Correct the value.", path=path)


def _wrong_type(path: str, name: str | int, expected: str, found: object) -> Problem:
    mismatch = f"{path} must be {expected}, found {kind(found)}"
    remedy = ""
    if expected == "text" and isinstance(found, int | float):
        remedy = f"Write {path} in quotes."
    if name in _PHRASED:
        return Problem("manifest-type", f"{path} is required", detail=mismatch, remedy=remedy, path=path)
    return Problem("manifest-type", mismatch, remedy=remedy, path=path)


def unknown_keys(model: type[BaseModel], document: object) -> tuple[Problem, ...]:
    """A warning for each key of ``document`` that ``model`` does not know, with what was probably meant."""
    warnings: list[Problem] = []
    for path, key, known in _unknown(model, document, ""):
        if len(warnings) == MAX_UNKNOWN_KEYS:
            warnings.append(Problem("manifest-unknown-key", f"More than {MAX_UNKNOWN_KEYS} keys are not known"))
            break
        place = below(path, key)
        meant = closest(key, known)
        hint = f"; did you mean {shown(meant)}?" if meant else ""
        remedy = f"Write {shown(meant)}, or remove the key." if meant else ""
        warnings.append(Problem("manifest-unknown-key", f"{place} is not a known key{hint}", remedy=remedy, path=place))
    return tuple(warnings)


def _unknown(model: type[BaseModel], value: object, path: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yields path, key and the keys known there, for ``value`` and all below it."""
    if not isinstance(value, dict):
        return
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for key, member in value.items():
        if key not in fields:
            yield path, key, list(fields)
            continue
        inner = _model_in(fields[key].annotation)
        if inner is None:
            continue
        place = below(path, key)
        if isinstance(member, list):
            for index, item in enumerate(member):
                yield from _unknown(inner, item, below(place, index))
        else:
            yield from _unknown(inner, member, place)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field's type is made of, if any: itself, in a list, or beside ``None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)


def with_warnings(guests: Sequence[Guest], warnings: Sequence[Problem], rows: str) -> tuple[Guest, ...]:
    """Give each guest its own warnings, and those of the whole document; ``rows`` is the key of the guests' list."""
    by_guest: dict[str, list[Mapping[str, str]]] = {}
    for warning in warnings:
        prefix = warning.path.partition("]")[0] if warning.path.startswith(f"{rows}[") else ""
        by_guest.setdefault(prefix, []).append(warning.as_dict())
    if not by_guest:
        return tuple(guests)
    common = by_guest.get("", [])
    return tuple(
        replace(guest, warnings=(*common, *by_guest.get(f"{rows}[{index}", []))) for index, guest in enumerate(guests)
    )
