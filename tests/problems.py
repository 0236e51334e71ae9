"""Expect a problem by its code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hypersdkd.model.problem import Problem, ProblemError


@contextmanager
def raises_problem(code: str, match: str | None = None) -> Iterator[list[Problem]]:
    """The block must fail with this code; the list holds the problem afterwards."""
    caught: list[Problem] = []
    with pytest.raises(ProblemError, match=match) as info:
        yield caught
    assert info.value.problem.code == code, info.value.problem
    caught.append(info.value.problem)
