"""Hostile text becomes harmless, numbers become readable."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.cli.text import LONGEST, clean, duration, size


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07name", "name"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bPq…\x1b\\after", "after"),
        ("\x1b]52;c;never closed", ""),
        ("\x1b(0line", "line"),
        ("a\nb\tc\r\n", "a b c  "),
        ("\u202egpj.exe\u202c \u200f\u2066x", "gpj.exe x"),
        ("a\u2028b\u2029", "a b "),
        ("\udcff\x00\x7f\x85", " "),
        ("weiß → ünï", "weiß → ünï"),
        ("[red]not markup[/red]", "[red]not markup[/red]"),
        (None, "None"),
    ],
)
def test_clean(hostile: object, shown: str) -> None:
    assert clean(hostile) == shown


def test_clean_cuts() -> None:
    assert clean("x" * 10_000) == "x" * (LONGEST - 1) + "…"
    assert clean("\x1b[0m" * 10_000_000).strip("…") == ""


@given(st.text(st.characters(), max_size=400), st.integers(1, 300))
@settings(max_examples=200)
def test_clean_is_always_harmless(hostile: str, limit: int) -> None:
    shown = clean(hostile, limit)
    assert len(shown) <= limit
    assert all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in shown)


def test_duration_and_size() -> None:
    assert [duration(seconds) for seconds in (0, 59, 90, 3725, 90061, -1)] == [
        "0s",
        "59s",
        "1m 30s",
        "1h 2m",
        "25h 1m",
        "0s",
    ]
    assert [size(count) for count in (0, 1023, 1536, 5 << 30, 1 << 50)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
        "1024.0 TiB",
    ]
