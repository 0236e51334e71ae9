"""Moments as text."""

from __future__ import annotations

from datetime import UTC, datetime

from hypersdkd.model.moment import now, rfc3339, seconds_between, today


def test_a_moment_has_milliseconds_and_says_that_it_is_utc() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)) == "2026-01-02T03:04:05.678Z"
    assert datetime.fromisoformat(now()).tzinfo is UTC


def test_today_is_the_local_date() -> None:
    before = datetime.now().astimezone().date().isoformat()
    assert today() in {before, datetime.now().astimezone().date().isoformat()}


def test_seconds_between_two_times_that_are_any() -> None:
    assert seconds_between("2026-01-02T03:04:05.500Z", "2026-01-02T03:05:05.501+00:00") == 60.001
    for start, end in (("", "2026-01-02T03:04:05Z"), ("x", "y"), ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z")):
        assert seconds_between(start, end) is None
