"""Rows that fit a width: nothing is given up without need, and what is cut fills the room there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.cli.fitting import cut, fit, width_of


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301a", 2, "e\u0301a"),
    ],
)
def test_cut(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


@given(st.text(), st.integers(1, 20))
def test_what_is_cut_fits(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width


COLUMNS = {"a": ["a" * 10, "a"], "b": ["b" * 10, "b"], "empty": ["", ""]}


@pytest.mark.parametrize(
    ("width", "widths"),
    [
        (22, {"a": 10, "b": 10}),
        (21, {"a": 9, "b": 10}),
        (17, {"a": 5, "b": 10}),
        (16, {"a": 10}),
        (9, {"a": 9}),
        (1, {"a": 5}),
    ],
)
def test_concessions_in_order(width: int, widths: dict[str, int]) -> None:
    fitted = fit(COLUMNS, width, [("a", 5), ("none", 0), ("b", 0)], gap=2)
    assert {name: max(map(len, cells)) for name, cells in fitted.items()} == widths


@given(st.lists(st.text("ab", max_size=30), min_size=1, max_size=5), st.integers(1, 80))
def test_it_fits_or_all_is_given_up(cells: list[str], width: int) -> None:
    columns = {str(number): [cell] for number, cell in enumerate(cells)}
    fitted = fit(columns, width, [(name, least) for least in (10, 0) for name in columns], gap=2, edge=4)
    taken = sum(len(cell) for (cell,) in fitted.values()) + 2 * (len(fitted) - 1) + 4
    assert taken <= width or not fitted
    assert list(fitted) == [name for name in columns if name in fitted]
