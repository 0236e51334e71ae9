"""From pydantic's findings to problems with the Go API's phrases."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from hypersdkd.model.manifest_problems import problems_of, submit_phrase
from hypersdkd.model.problem import Problem


class _Load(BaseModel):
    model_config = ConfigDict(strict=True)
    source_type: str
    size: int = 0


class _Pipeline(BaseModel):
    load: _Load


def _problems(document: object) -> tuple[Problem, ...]:
    with pytest.raises(ValidationError) as found:
        _Pipeline.model_validate(document)
    return problems_of(found.value, "vms[1].pipeline")


def test_a_missing_key_is_required_at_its_path() -> None:
    (problem,) = _problems({"load": {}})
    assert problem.message == "vms[1].pipeline.load.source_type is required"
    assert (problem.code, problem.path) == ("manifest-required", "vms[1].pipeline.load.source_type")


def test_a_wrong_type_of_a_required_key_is_said_as_the_go_api_says_it() -> None:
    (problem,) = _problems({"load": {"source_type": 5}})
    assert problem.message == "vms[1].pipeline.load.source_type is required"
    assert (problem.code, "quotes" in problem.remedy) == ("manifest-type", True)


def test_a_wrong_type_elsewhere_names_both_types() -> None:
    (problem,) = _problems({"load": {"source_type": "raw", "size": "big"}})
    assert problem.code == "manifest-type"
    assert "a whole number" in problem.message


@pytest.mark.parametrize(
    ("problem", "phrase"),
    [
        (Problem("manifest-required", "pipeline is required"), "pipeline is required for single VM manifest"),
        (
            Problem("manifest-required", "vms array is required for batch manifests"),
            "batch manifest requires at least one VM in 'vms' array",
        ),
        (Problem("manifest-required", "version is required"), "version is required"),
    ],
)
def test_submit_has_phrases_of_its_own(problem: Problem, phrase: str) -> None:
    assert submit_phrase(problem) == f"Invalid manifest: {phrase}"


def test_submit_tells_bad_json_and_large_bodies_apart() -> None:
    assert submit_phrase(Problem("document-syntax", "x")) == "Invalid JSON: x"
    assert submit_phrase(Problem("document-too-large", "x")) == "Failed to read request: x"
