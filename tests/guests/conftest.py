"""Tests that take a ``recipe`` run with the quick guests, and with all of them by ``script/test --all-guests``."""

from __future__ import annotations

import pytest

from tests.guests.recipe import ALL_GUESTS, RECIPES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The guests that were asked for."""
    if "recipe" in metafunc.fixturenames:
        wanted = [each for each in RECIPES if each.quick or ALL_GUESTS]
        metafunc.parametrize("recipe", wanted, ids=[each.name for each in wanted])


#: virt-v2v alone takes three minutes without KVM.
collect_ignore = [] if ALL_GUESTS else ["test_virt_v2v.py"]
