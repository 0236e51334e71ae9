"""Any file name becomes an ID that is a file name, short, and its own."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.names import MAX_ID_BYTES, file_name_for_display, job_id

pieces = st.sampled_from([b".", b"-", b"a", b"\n", b"\xff", "é".encode(), "\u202e".encode(), b".json", b" ", b"\x1b"])
names = (
    (st.binary(min_size=1, max_size=255) | st.lists(pieces, min_size=1, max_size=120).map(b"".join))
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")[:255])
    .map(os.fsdecode)
)


@given(st.lists(names, min_size=1, max_size=8))
def test_ids_are_file_names_short_and_unique(dropped: list[str]) -> None:
    taken: set[str] = set()
    for name in [*dropped, *dropped]:
        found = job_id(name, taken.__contains__)
        assert found not in taken
        assert found not in {"", ".", ".."}
        assert "/" not in found
        assert found.isprintable()
        assert len(found.encode()) <= MAX_ID_BYTES
        taken.add(found)


@pytest.mark.parametrize("name", ["web01.json", "a b.yaml", "-rf.json", "Ünï.json", "x" * 195 + ".json"])
def test_a_good_name_is_its_own_id(name: str) -> None:
    assert job_id(name, lambda _name: False) == name


def test_a_taken_name_keeps_its_suffix() -> None:
    taken = {"a.json", "a-2.json", "b", "é" * 90 + ".json"}
    assert job_id("a.json", taken.__contains__) == "a-3.json"
    assert job_id("b", taken.__contains__) == "b-2"
    assert job_id("é" * 90 + ".json", taken.__contains__).endswith("-2.json")
    assert job_id("x." + "é" * 99, lambda name: name == "x." + "é" * 99).endswith("-2")


def test_bad_names_that_differ_get_ids_that_differ() -> None:
    ids = {job_id(os.fsdecode(raw), lambda _name: False) for raw in (b"a\n.json", b"a\t.json", b"a\xff.json")}
    assert len(ids) == 3
    assert all(found.endswith(".json") for found in ids)


@given(names)
def test_a_shown_name_is_harmless(name: str) -> None:
    shown = file_name_for_display(name)
    assert shown.isprintable()
    assert shown.encode()


def test_what_is_shown_of_a_hostile_name() -> None:
    assert file_name_for_display(os.fsdecode(b"a\n\x1b[31m\xff")) == "a\\n\\x1b[31m\\xff"
