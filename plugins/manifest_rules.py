"""The rules that every manifest must meet: the manifest format itself, version 1.0."""

from __future__ import annotations

from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.replies import Validation
from hypersdkd.spec.hooks import hookimpl


@hookimpl
def hypersdkd_validate_manifest(text: bytes, syntax: str) -> Validation:
    """All problems and warnings of a manifest, and its guests if there is no problem."""
    return read_manifest(text, syntax)
