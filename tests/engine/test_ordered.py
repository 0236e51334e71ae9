"""Keys are in order whenever they are asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.ordered import NamedRows, Ordered

keys = st.tuples(st.integers(0, 3), st.sampled_from("abc"))


@given(st.lists(st.tuples(keys, st.booleans()), max_size=30))
def test_keys_come_and_go_in_order(moves: list[tuple[tuple[int, str], bool]]) -> None:
    truth: set[tuple[int, str]] = set()
    ordered = Ordered(lambda: truth)
    for key, asked in moves:
        if key in truth:
            truth.remove(key)
            ordered.remove(key)
        else:
            ordered.add(key)
            truth.add(key)
        if asked:
            assert ordered.keys() == sorted(truth)


def test_all_keys_are_asked_for_once_and_not_before_they_are_wanted() -> None:
    asked = []

    def all_keys() -> list[tuple[int]]:
        asked.append(1)
        return [(2,), (1,)]

    ordered = Ordered(all_keys)
    ordered.add((3,))
    assert not asked
    assert ordered.keys() == [(1,), (2,)]
    ordered.add((0,))
    assert ordered.keys() == [(0,), (1,), (2,)]
    assert asked == [1]


def test_a_copy_of_rows_is_for_later() -> None:
    keys, values = [(1, "a"), (2, "b")], {"a": "A", "b": "B"}
    rows = NamedRows(keys, values)
    copy = rows.copy()
    del keys[0], values["a"]
    assert list(rows) == [("b", "B")]
    assert list(copy) == [("a", "A"), ("b", "B")] == list(copy)
