"""Moments as text."""

from __future__ import annotations

from datetime import UTC, datetime

from hypersdkd.model.moment import now, rfc3339, today


def test_a_moment_has_milliseconds_and_says_that_it_is_utc() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)) == "2026-01-02T03:04:05.678Z"
    assert datetime.fromisoformat(now()).tzinfo is UTC


def test_today_is_the_local_date() -> None:
    before = datetime.now().astimezone().date().isoformat()
    assert today() in {before, datetime.now().astimezone().date().isoformat()}
