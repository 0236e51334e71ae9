"""The records beside ended jobs, held to their published schemas (``docs/schemas``)."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import jsonschema

SCHEMAS = Path(__file__).parent.parent / "docs" / "schemas"


@functools.cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read_record(sidecar: Path) -> dict:
    """A sidecar's content; it must be as its schema says."""
    record = json.loads(sidecar.read_text())
    check_record(record, sidecar.name.rsplit(".", 2)[1])
    return record


def check_record(record: object, kind: str) -> None:
    """``kind`` is report, meta or error."""
    _validator(kind).validate(record)
