"""Files, directories and standard input; what cannot be read; the list of problems."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from hypersdkd.model.document import MAX_BYTES
from tests.cli.conftest import Run
from tests.cli.test_recordings import GOOD
from tests.cli.test_validate import YAML


def test_several_files_and_a_directory(run: Run) -> None:
    Path("d").mkdir()
    for name in ("a.json", "b.YAML", "c.yml", ".hidden.json", "x.json.report.json", "readme.txt"):
        (Path("d") / name).write_text(json.dumps(GOOD))
    Path("bad.json").write_text("{}")
    result = run("manifest", "validate", "d", "-file", "bad.json", "-json")
    assert result.status == 1
    found = {Path(each["file"]).name: each["valid"] for each in json.loads(result.out)["files"]}
    assert found == {"bad.json": False, "a.json": True, "b.YAML": True, "c.yml": True}


def test_a_directory_without_manifests(run: Run, elsewhere: Path) -> None:
    assert run("manifest", "validate", str(elsewhere)).status == 1


@pytest.mark.parametrize("text", [json.dumps(GOOD), YAML.replace('""', "/srv/a")])
def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    result = run("manifest", "validate", "-file", "-")
    assert (result.status, "Manifest is valid!" in result.err) == (0, True)


def test_many_problems_are_counted(run: Run) -> None:
    Path("m.json").write_text(json.dumps({"version": "1.0", "batch": True, "vms": [{}] * 500}))
    result = run("manifest", "validate", "m.json")
    assert result.status == 1
    assert len(result.out.splitlines()) < 110
    assert result.out.rstrip().endswith("more")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("web01.vmdk", "make a manifest of it first: hyperctl manifest generate web01.vmdk ."),
        ("notes.txt", "Rename notes.txt"),
        ("missing", "Check the path: there is no file missing."),
        ("a\0b", "Check the path"),
    ],
)
def test_a_file_that_no_manifest_is_called_like(run: Run, elsewhere: Path, name: str, remedy: str) -> None:
    for made in ("web01.vmdk", "notes.txt"):
        (elsewhere / made).touch()
    result = run("manifest", "validate", name)
    assert result.status == 1
    assert "Unsupported file format" in result.err
    assert remedy in result.err


def test_files_that_cannot_be_read(run: Run, elsewhere: Path) -> None:
    with Path("large.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    Path("loop.json").symlink_to("loop.json")
    for name in ("large.json", "missing.json", "loop.json", "a\0b.json", "x" * 300 + ".json"):
        result = run("manifest", "validate", name)
        assert (result.status, result.out) == (1, "")
        assert "remedy: " in result.err
