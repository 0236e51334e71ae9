"""The building blocks of the manifest models: a strict section, and the types of its fields.

A check that fails raises a ``PydanticCustomError``: ``empty`` for a required key without a value, ``name``
for one that cannot name a file, or ``value`` with what is wrong (``text``) and perhaps what to do (``remedy``).
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from hypersdkd.model.guest import OUTPUT_FORMATS, SOURCE_TYPES
from hypersdkd.model.wording import shown

#: The manifest version that is read.
VERSION: Final = "1.0"

#: Characters of a guest's name at most.
MAX_NAME_LENGTH: Final = 255

#: Bytes of a path at most (Linux's PATH_MAX).
MAX_PATH_BYTES: Final = 4096

#: Disks of a guest at most: four PVSCSI adapters of 64 disks are the most that vSphere allows.
MAX_DISKS: Final = 256

#: Files of a source besides the named one at most: more than LOAD reads of a VMDK.
MAX_FILES: Final = 4200

#: hyper2kvm's ways of writing fstab, and how much of a guest's network set-up it mends.
FSTAB_MODES: Final = ("stabilize-all", "bypath-only", "noop")
FIX_LEVELS: Final = ("full", "basic", "none")

_CHECKSUM = re.compile(r"sha256:[0-9a-fA-F]{64}")


class Section(BaseModel):
    """An object of a manifest. A key that is ``null`` counts as absent; unknown keys are not looked at here."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: object) -> object:
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data


def wrong(text: str, remedy: str = "Correct the value.") -> PydanticCustomError:
    """The error to raise for a value that is not allowed; ``text`` goes on after the key's path."""
    return PydanticCustomError("value", "{text}", {"text": text, "remedy": remedy})


def empty() -> PydanticCustomError:
    """The error to raise for a required key without a value."""
    return PydanticCustomError("empty", "is required")


def closest(word: str, known: Iterable[str]) -> str:
    """The one of ``known`` that ``word`` is probably meant to be, or nothing."""
    return next(iter(difflib.get_close_matches(word[:MAX_NAME_LENGTH].lower(), list(known), n=1)), "")


def _one_of(allowed: tuple[str, ...], value: str) -> str:
    if not value:
        raise empty()
    if value not in allowed:
        meant = closest(value, allowed)
        raise wrong(
            f"{shown(value)} is not one of: {', '.join(allowed)}",
            f'Write "{meant}".' if meant else "Write one of those.",
        )
    return value


def check_source_type(value: str) -> str:
    """A source type in lower case, whatever case it was written in, as hyper2kvm takes it."""
    return _one_of(SOURCE_TYPES, value.lower())


def check_path(value: str) -> str:
    """A path that the kernel could take; nothing is said about whether it exists or is allowed."""
    if not value:
        raise empty()
    if "\0" in value:
        raise wrong("holds a NUL character")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise wrong(f"is longer than {MAX_PATH_BYTES} bytes")
    return value


def _name_flaw(value: str) -> str:
    """Why a name cannot name a file: it becomes the job's and the output's, whichever way the manifest came."""
    if "/" in value:
        return f"{shown(value)} holds a slash"
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in value):
        return f"{shown(value)} holds a control character"
    return f"{shown(value)} begins with a dot" if value.startswith(".") else ""


def _check_name(value: str) -> str:
    if len(value) > MAX_NAME_LENGTH:
        raise wrong(f"is longer than {MAX_NAME_LENGTH} characters")
    flaw = _name_flaw(value)
    if flaw:
        raise PydanticCustomError("name", "{text}", {"text": flaw})
    return value


def _check_required(value: str) -> str:
    if not value:
        raise empty()
    return _check_name(value)


def _check_version(value: str) -> str:
    if not value:
        raise empty()
    if value != VERSION:
        raise PydanticCustomError("version", "{found}", {"found": shown(value)})
    return value


def _check_checksum(value: str) -> str:
    if not _CHECKSUM.fullmatch(value):
        raise wrong("is not sha256: and 64 hexadecimal digits")
    return value.lower()


def _or_empty(value: object) -> object:
    """The Go API passes over a name that is no text."""
    return value if isinstance(value, str) else ""


Version = Annotated[str, AfterValidator(_check_version), WithJsonSchema({"const": VERSION})]
Name = Annotated[
    str, BeforeValidator(_or_empty), AfterValidator(_check_name), Field(json_schema_extra={"maxLength": 255})
]
RequiredName = Annotated[
    str, AfterValidator(_check_required), Field(json_schema_extra={"minLength": 1, "maxLength": 255})
]
SourceType = Annotated[
    str, AfterValidator(check_source_type), WithJsonSchema({"type": "string", "enum": list(SOURCE_TYPES)})
]
SourcePath = Annotated[str, AfterValidator(check_path), Field(json_schema_extra={"minLength": 1})]
OutputPath = Annotated[str, AfterValidator(lambda value: check_path(value) if value else value)]
OutputFormat = Annotated[
    str,
    AfterValidator(partial(_one_of, OUTPUT_FORMATS)),
    WithJsonSchema({"type": "string", "enum": list(OUTPUT_FORMATS)}),
]
FstabMode = Annotated[
    str,
    AfterValidator(partial(_one_of, FSTAB_MODES)),
    WithJsonSchema({"type": "string", "enum": list(FSTAB_MODES)}),
]
Checksum = Annotated[
    str, AfterValidator(_check_checksum), Field(json_schema_extra={"pattern": "^sha256:[0-9a-fA-F]{64}$"})
]
Bytes = Annotated[int, Field(gt=0, lt=2**63)]


def check_switchable(allowed: tuple[str, ...], value: str, *, enabled: bool) -> str:
    """One of ``allowed``; where the part of the stage is off, an empty text will do."""
    return value if not value and not enabled else _one_of(allowed, value)
