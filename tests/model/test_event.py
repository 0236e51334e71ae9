"""A journal's line holds one event, whatever is in it."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.event import Event, EventType, read_lines
from hypersdkd.model.moment import now

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
events = st.builds(
    Event,
    seq=st.integers(1, 2**53),
    type=st.sampled_from(EventType),
    time=st.text(),
    vm=st.text(),
    stage=st.text(),
    data=st.dictionaries(
        st.text().filter(lambda key: key not in {"seq", "time", "vm", "stage", "type"}), values, max_size=3
    ),
)


@given(events)
def test_an_event_is_read_back_from_one_line(event: Event) -> None:
    line = event.to_line()
    assert line.isascii()
    assert line.splitlines(keepends=True) == [line]
    assert Event.from_line(line) == event


@given(st.text() | values.map(json.dumps))
def test_anything_else_is_a_value_error_or_an_event(line: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(Event.from_line(line), Event)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        '{"seq": 1}',
        '{"seq": Infinity, "type": "started", "time": ""}',
        '{"seq": [], "type": "started", "time": ""}',
        '{"seq": 1, "type": "unheard", "time": ""}',
        "[" * 100_000,
        '{"seq": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_event_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        Event.from_line(line)


def test_data_hides_none_of_the_fixed_keys() -> None:
    event = Event(7, EventType.FINDING, "t", "vm", "load", {"seq": 99, "type": "x", "vm": "other", "key": "k"})
    assert event.as_dict() == {"seq": 7, "time": "t", "vm": "vm", "stage": "load", "type": "finding", "key": "k"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        Event(1, EventType.FINDING, "t", data={"value": value}).to_line()


def test_torn_and_foreign_lines_are_passed_over() -> None:
    first, second = Event(1, EventType.STARTED, "t"), Event(2, EventType.FINISHED, "t")
    lines = [first.to_line(), "{\n", "\0\0\0\n", "null\n", second.to_line(), first.to_line()[:-1]]
    assert list(read_lines(lines)) == [first, second]


def test_the_time_is_utc_to_the_millisecond() -> None:
    assert len(now()) == len("2026-01-01T00:00:00.000Z")
    assert now().endswith("Z")
