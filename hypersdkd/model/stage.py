"""The five stages of a guest's conversion, in their order."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A stage; the value is its key in manifests, reports and events."""

    LOAD = "load"
    INSPECT = "inspect"
    FIX = "fix"
    CONVERT = "convert"
    VALIDATE = "validate"
