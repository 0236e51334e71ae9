"""Records of any size and content are read, and of the long ones no more than is asked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hypersdkd.engine import records
from hypersdkd.engine.records import read_head, read_record
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem
from hypersdkd.model.sidecar import Ending

ROW = ("id", "claimed_at", "attempts", "error", "code", "remedy", "path", "exception", "stage", "failed_at")


def record(outcome: JobState, guests: int, detail: str = "") -> bytes:
    problem = None if outcome is JobState.COMPLETED else Problem("batch-failed", "some failed", detail)
    rows = [{"vm": f"vm{number}", "attempts": 1, "stages": {}, "artifacts": {}} for number in range(guests)]
    many = [Problem("step-failed", f"guest {number}") for number in range(guests)] if problem else []
    return Ending("a.json", "a.json", "manifest", outcome, "T0", "T1", 1, rows, problem, many).to_json()


@pytest.mark.parametrize("outcome", [JobState.COMPLETED, JobState.FAILED])
@pytest.mark.parametrize("detail", ["", "\U0001f600" * 70_000])
def test_what_a_row_needs_is_in_the_head_of_the_longest_record(tmp_path: Path, outcome: JobState, detail: str) -> None:
    path = tmp_path / "a.json.report.json"
    path.write_bytes(record(outcome, 2000, detail))
    whole, head = read_record(path), read_head(path)
    assert "vms" in whole and "vms" not in head
    assert {key: whole.get(key) for key in ROW} == {key: head.get(key) for key in ROW}


def test_a_short_record_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json.report.json"
    path.write_bytes(record(JobState.COMPLETED, 2))
    assert read_head(path) == read_record(path) == json.loads(path.read_bytes())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 9999, b"\xff"])
def test_what_is_no_record_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert read_head(path) == read_record(path) == {}


def test_what_is_no_file_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("fifo", "link", "none"):
        assert read_head(tmp_path / name) == read_record(tmp_path / name) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "b": [2, {}], "c": "cu', {"a": 1, "b": [2, {}]}),
        ('{"a": 1, "b": 12', {"a": 1}),
        ('{"a": 1, "b": {"c": 2', {"a": 1}),
        ('{ "a" : "x" ,\n "b', {"a": "x"}),
        ('{"a": 1, "b": NaN, "c": 2, ', {"a": 1}),
        ('{"a" 1, "b": 2, ', {}),
        ('{"a": ' + "[" * 9999, {}),
        ("[1, 2, 3", {}),
        ("", {}),
    ],
)
def test_of_a_record_that_is_cut_the_whole_members_are_read(text: str, expected: object) -> None:
    assert records._members(text) == expected
