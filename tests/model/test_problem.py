"""A problem always has a remedy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.problem import CODES, DEFAULT_REMEDY, Problem, ProblemError, fail


@given(st.builds(Problem, *[st.text()] * 5))
def test_a_problem_is_read_back(problem: Problem) -> None:
    assert Problem.from_dict(problem.as_dict()) == problem
    assert problem.remedy
    assert problem.as_dict()["hint"] == problem.remedy


def test_remedies_come_from_the_catalogue() -> None:
    assert all(meaning.meaning and meaning.remedy and 400 <= meaning.http < 600 for meaning in CODES.values())
    assert Problem("no-space", "full").remedy == CODES["no-space"].remedy
    assert Problem("other-plugin.thing", "x").remedy == DEFAULT_REMEDY
    assert Problem("no-space", "full", remedy="mine").at("a.b") == Problem("no-space", "full", "", "mine", "a.b")


def test_an_error_carries_its_problem() -> None:
    error = fail("no-space", "full", path="x")
    assert isinstance(error, ProblemError)
    assert (str(error), error.problem.path, error.retry_after) == ("full", "x", None)
