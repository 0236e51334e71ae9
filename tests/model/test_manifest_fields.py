"""Field types of the manifest models, one by one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hypersdkd.model import manifest_fields
from hypersdkd.model.manifest_fields import Section, closest, empty, wrong


class _Example(Section):
    word: str = "default"


def test_a_null_counts_as_absent() -> None:
    assert _Example.model_validate({"word": None}).word == "default"


def test_types_are_strict() -> None:
    with pytest.raises(ValidationError):
        _Example.model_validate({"word": 5})


def test_sections_do_not_change() -> None:
    with pytest.raises(ValidationError):
        _Example().word = "other"


def test_errors_carry_what_is_wrong_and_what_to_do() -> None:
    error = wrong("must be less", "Make it less.")
    assert (error.type, error.context) == ("value", {"text": "must be less", "remedy": "Make it less."})
    assert empty().type == "empty"


def test_the_nearest_word_is_found_or_none() -> None:
    assert "qcow2" in str(closest("qcow", ["qcow2", "raw"]))
    assert not closest("floppy", ["qcow2", "raw"])


def test_limits_are_those_of_the_contract() -> None:
    assert manifest_fields.VERSION == "1.0"
    assert manifest_fields.FSTAB_MODES == ("stabilize-all", "bypath-only", "noop")
    assert manifest_fields.FIX_LEVELS == ("full", "basic", "none")
