"""docs/manifest.md has every key of the models, with its type and default, and no other; its examples are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hypersdkd.model import document, manifest_fields, manifest_workflow, yaml_document
from hypersdkd.model.manifest import json_schema, read_manifest

PAGE = (Path(__file__).parent.parent / "docs" / "manifest.md").read_text()
SCHEMA: dict[str, Any] = json_schema()
WORDS = {"string": "text", "boolean": "true or false", "integer": "whole number", "array": "list", "object": "object"}


def section(heading: str) -> str:
    """A section's text, up to the next heading."""
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def documented(heading: str) -> dict[str, tuple[str, str]]:
    """Type and default by key, of a section's table."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| .+ \|$", section(heading), re.MULTILINE)
    assert len(rows) == len({key for key, _, _ in rows})
    return {key: (type_, default) for key, type_, default in rows}


def model(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema stands for: its reference, or what it may be beside null."""
    if "$ref" in schema:
        return model(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    kinds = [each for each in schema.get("anyOf", ()) if each.get("type") != "null" and "required" not in each]
    return model(kinds[0]) if kinds else schema


def keys(schema: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    """Type and default of every key below a model."""
    for name, given in schema.get("properties", {}).items():
        path, found = f"{at}{name}", model(given)
        values = [found["const"]] if "const" in found else [value for value in found.get("enum", ()) if value]
        type_ = " ".join(f"`{value}`" for value in values) or WORDS.get(found.get("type", ""), "anything")
        yield path, (type_, default(given, found, required=name in schema.get("required", ())))
        if path != "vms[].pipeline":
            yield from keys(found, f"{path}.")
            yield from keys(model(found.get("items", {})), f"{path}[].")


def default(given: Mapping[str, Any], found: Mapping[str, Any], *, required: bool) -> str:
    """A key's default as the page has it."""
    value = given.get("default")
    if required or value is None or value == "" or isinstance(value, dict):
        return "required" if required else "none"
    return f"`{value}`" if "enum" in found else json.dumps(value)


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("The workflow manifest", "SingleManifest"),
        ("A batch of guests", "BatchManifest"),
        ("The artifact manifest", "ArtifactManifest"),
    ],
)
def test_every_key_with_its_type_and_default(heading: str, name: str) -> None:
    assert documented(heading) == dict(keys(SCHEMA["$defs"][name]))


@pytest.mark.parametrize(("heading", "guests"), [("One guest", 1), ("A batch", 2), ("Artifacts", 1)])
def test_every_example_is_valid(heading: str, guests: int) -> None:
    ((syntax, text),) = re.findall(r"^```(json|yaml)\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)
    validation = read_manifest(text.encode(), syntax)
    assert (validation.problems, validation.warnings) == ((), ())
    assert len(validation.guests) == guests
    assert all(guest.name for guest in validation.guests)


def test_the_limits() -> None:
    told = re.findall(r"^\| [^|]+ \| ([\d,]+)(?: MiB)? \|$", section("Limits"), re.MULTILINE)
    limits = [
        document.MAX_BYTES >> 20,
        yaml_document.MAX_YAML_BYTES >> 20,
        yaml_document.MAX_DEPTH,
        document.MAX_VALUES,
        yaml_document.MAX_VALUES,
        manifest_workflow.MAX_GUESTS,
        manifest_fields.MAX_DISKS,
        manifest_fields.MAX_NAME_LENGTH,
        manifest_fields.MAX_PATH_BYTES,
    ]
    assert [int(number.replace(",", "")) for number in told] == limits
