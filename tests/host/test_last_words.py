"""Words that one daemon leaves for the next."""

from __future__ import annotations

from pathlib import Path

from hypersdkd.host.last_words import leave_words, take_words


def test_they_are_taken_once(tmp_path: Path) -> None:
    place = {"RUNTIME_DIRECTORY": str(tmp_path)}
    leave_words("stuck for 1 s", place)
    leave_words("stuck for 2 s in é.py\udcff", place)
    assert take_words(place) == "stuck for 2 s in é.py?"
    assert take_words(place) == ""
    assert list(tmp_path.iterdir()) == []


def test_without_a_directory_they_are_lost(tmp_path: Path) -> None:
    for place in ({}, {"RUNTIME_DIRECTORY": str(tmp_path / "none")}):
        leave_words("stuck", place)
        assert take_words(place) == ""
