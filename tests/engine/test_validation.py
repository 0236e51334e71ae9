"""A manifest as several plugins judge it."""

from __future__ import annotations

from hypersdkd.engine.validation import merge
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import Validation

GUEST = Guest("web01", (DiskSource("raw", "/a"),))


def test_problems_add_up_and_the_guests_are_of_the_first_that_has_any() -> None:
    rule = Validation(problems=(Problem("manifest-rejected", "no"),), warnings=(Problem("x", "rule"),))
    core = Validation(guests=(GUEST,), name="web01", document={"a": 1}, warnings=(Problem("y", "core"),))
    merged = merge([rule, core])
    assert not merged.valid
    assert (merged.guests, merged.name, merged.document) == ((GUEST,), "web01", {"a": 1})
    assert [warning.code for warning in merged.warnings] == ["y", "x"]
    assert merge([core]) == core


def test_text_that_one_could_not_parse_is_not_parsed() -> None:
    assert not merge([Validation(parsed=False, problems=(Problem("document-syntax", "x"),)), Validation()]).parsed


def test_what_nobody_looked_at_is_not_valid() -> None:
    assert [problem.code for problem in merge([]).problems] == ["plugin-failed"]
