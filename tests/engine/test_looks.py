"""What one look at a directory finds, and what it takes for none of a job's files."""

from __future__ import annotations

import os
from pathlib import Path

from hypersdkd.engine.index import Ended
from hypersdkd.engine.looks import ended_rows, listing, missing_of, mtime_of, mtimes_of


def test_a_directory_that_is_not_there_is_empty_and_one_that_cannot_be_listed_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert listing(tmp_path) == {"file"}
    assert listing(tmp_path / "none") == listing(tmp_path / "file") == set()
    assert listing(tmp_path / ("x" * 300)) is None
    assert mtime_of(tmp_path) == tmp_path.stat().st_mtime_ns
    assert mtime_of(tmp_path / "none") == 0


def test_only_regular_files_of_jobs_have_a_time(tmp_path: Path) -> None:
    for name in ("a.json", ".hidden", "a.json.error.json"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(5, 5))
    (tmp_path / "link.json").symlink_to("a.json")
    (tmp_path / "directory.json").mkdir()
    names = [*sorted(os.listdir(tmp_path)), "none"]
    assert {name: mtime for name, mtime in mtimes_of(tmp_path, names) if mtime is not None} == {"a.json": 5}
    assert missing_of(tmp_path, names) == ["none"]


def test_a_record_is_read_once_for_each_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    os.utime(tmp_path / "a.json", ns=(5, 5))
    (tmp_path / "a.json.error.json").write_text('{"status": "cancelled"}')
    assert ended_rows(tmp_path, {"a.json": None, "none": None}, True) == [
        ("a.json", Ended(5, cancelled=True)),
        ("none", None),
    ]
    assert ended_rows(tmp_path, {"a.json": None}, False) == [("a.json", Ended(5))]
    assert ended_rows(tmp_path, {"a.json": Ended(5)}, True) == [("a.json", Ended(5))]
