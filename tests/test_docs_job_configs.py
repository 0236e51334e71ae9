"""docs/job-configs.md has every key of the models, with its type and default, and no other; its examples are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hypersdkd.model import job_config
from hypersdkd.model.job import DISK_SUFFIXES, DOCUMENT_SUFFIXES
from hypersdkd.model.job_config import MANIFEST_KEYS, read_job_config
from hypersdkd.model.manifest_workflow import MAX_GUESTS

PAGE = (Path(__file__).parent.parent / "docs" / "job-configs.md").read_text()
MODELS: dict[str, Any] = job_config.json_schema()["$defs"]  # type: ignore[assignment]
WORDS = {"string": "text", "boolean": "true or false", "array": "list", "null": "list"}


def section(heading: str) -> str:
    """A section's text, up to the next heading."""
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


def row(key: str, schema: Mapping[str, Any], required: list[str]) -> tuple[str, tuple[str, str]]:
    type_ = " ".join(f"`{value}`" for value in schema.get("enum", ())) or WORDS[schema["type"]]
    value = schema.get("default")
    shown = "none" if value is None else f"`{value}`" if "enum" in schema else json.dumps(value)
    return key, (type_, "required" if key in required else shown)


def test_every_key_with_its_type_and_default() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| .+ \|$", section("The keys"), re.MULTILINE)
    single = MODELS["SingleJobConfig"]
    assert {key: (type_, default) for key, type_, default in rows} == dict(
        row(key, schema, single["required"]) for key, schema in single["properties"].items()
    )
    assert len(rows) == len(single["properties"])
    assert set(MODELS["BatchJobConfig"]["properties"]) == {"jobs"}


@pytest.mark.parametrize(("heading", "guests"), [("One disk", 1), ("Many disks", 2)])
def test_every_example_is_valid(heading: str, guests: int) -> None:
    ((syntax, text),) = re.findall(r"^```(json|yaml)\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)
    validation = read_job_config(text.encode(), syntax)
    assert validation is not None
    assert (validation.problems, validation.warnings) == ((), ())
    assert len(validation.guests) == guests


def test_what_is_taken_for_what() -> None:
    head = PAGE.partition("## ")[0]
    assert f"`{' '.join(DISK_SUFFIXES)}`" in head
    assert head.count(f"`{' '.join(DOCUMENT_SUFFIXES)}`") == 2
    sentence = re.search(r"A document that has a key (.+?) is taken for a manifest", head)
    assert sentence
    assert set(re.findall(r"`(\w+)`", sentence[1])) == MANIFEST_KEYS
    assert f"{MAX_GUESTS:,}" in section("A list of jobs")
