"""hypersdkd.host.places: a bit for each place of a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host import places
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.places import Places
from tests.problems import raises_problem

IMAGE = ImageFile(-1, 0, "a.vhd")


@given(st.lists(st.integers(0, 1 << 20)))
def test_each_place_is_taken_once(offsets: list[int]) -> None:
    found, taken = Places(IMAGE, 4096), set[int]()
    for offset in offsets:
        assert found.take(offset) == (offset // 4096 not in taken)
        taken.add(offset // 4096)


def test_a_place_far_behind_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_MAX", 16)
    found = Places(IMAGE, 512)
    assert found.take(16 * 512 - 1)
    with raises_problem("image-limits", "a.vhd has data at byte 8192"):
        found.take(16 * 512)
