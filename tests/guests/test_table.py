"""docs/guests.md tells of each test guest what its recipe says."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from tests.guests.recipe import RECIPES, Recipe
from tests.guests.table import PAGE, UNKNOWN, Row, rows, written


def test_every_guest_is_in_the_table_and_no_other() -> None:
    assert list(rows(PAGE.read_text())) == [recipe.name for recipe in RECIPES]


@pytest.mark.parametrize("each", RECIPES, ids=lambda each: each.name)
def test_its_row_says_what_it_is_made_of(each: Recipe) -> None:
    row, made_of = rows(PAGE.read_text())[each.name], Row.of(each)
    assert UNKNOWN not in astuple(row)
    assert (row.firmware, row.filesystems, row.initramfs) == (made_of.firmware, made_of.filesystems, made_of.initramfs)


def test_a_row_takes_the_place_of_the_former() -> None:
    page = PAGE.read_text()
    row = Row.of(RECIPES[1], *"abcdefgh")
    changed = written(page, row)
    assert rows(changed) == {**rows(page), row.name: row}
    assert written(changed, rows(page)[row.name]) == page
