"""manifest validate: places, remedies, whose rules; files, directories and standard input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from hypersdkd.model.document import MAX_BYTES
from tests.cli.conftest import Canned, RealRules, Run
from tests.cli.test_recordings import GOOD, GUEST

BAD = """{
  "version": "1.0",
  "pipeline": {
    "load": {"source_type": "floppy", "source_path": "/srv/a"},
    "convert": {}
  },
  "extra": 1
}
"""

YAML = """\
version: "1.0"
pipeline:
  load: {source_type: vmdk, source_path: ""}
  convert:
    output_format: qcow2
"""


def test_each_problem_has_its_place_path_and_remedy(run: Run) -> None:
    Path("bad.json").write_text(BAD)
    result = run("manifest", "validate", "bad.json")
    assert result.status == 1
    lines = result.out.splitlines()
    assert lines[0] == "Validation Errors:"
    assert any(line.startswith("  bad.json:4:14: ") and "floppy" in line for line in lines)
    assert "  bad.json:5:5: pipeline.convert.output_format is required" in lines
    assert any(line.startswith("      path: pipeline.load.source_type; remedy: ") for line in lines)
    assert any(line.startswith("  bad.json:7:3: warning: ") and "extra" in line for line in lines)
    assert "Manifest validation failed" in result.err


def test_places_in_yaml(run: Run) -> None:
    Path("bad.yaml").write_text(YAML)
    result = run("manifest", "validate", "-file", "bad.yaml")
    assert result.status == 1
    assert "  bad.yaml:3:29: pipeline.load.source_path is required" in result.out.splitlines()


def test_the_place_where_the_syntax_breaks(run: Run) -> None:
    Path("broken.json").write_text('{\n  "version": 1.0,,\n}')
    result = run("manifest", "validate", "broken.json")
    assert result.status == 1
    assert "  broken.json:2:18: " in result.out
    assert "Failed to parse manifest" in result.err


def test_it_says_whose_rules_were_used(run: Run, monkeypatch: pytest.MonkeyPatch, workflow: RealRules) -> None:
    Path("good.json").write_text(json.dumps(GOOD))
    by_daemon = run("manifest", "validate", "good.json")
    assert f"by the daemon at {workflow.url}" in by_daemon.err
    monkeypatch.setenv("HYPERSDKD_URL", "http://127.0.0.1:9")
    without = run("manifest", "validate", "good.json")
    assert "hyperctl's own rules" in without.err
    assert (by_daemon.status, by_daemon.out) == (without.status, without.out)


@pytest.mark.parametrize("text", [BAD, "{", json.dumps(GOOD)])
def test_the_daemon_and_hyperctl_say_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, workflow: RealRules, text: str
) -> None:
    Path("m.json").write_text(text)
    asked = json.loads(run("manifest", "validate", "m.json", "--json").out)
    monkeypatch.setenv("HYPERSDKD_URL", "http://127.0.0.1:9")
    local = json.loads(run("manifest", "validate", "m.json", "--json").out)
    assert asked == local
    assert asked["file"] == "m.json"


def test_a_plugin_of_the_daemon_counts(run: Run, canned: Canned) -> None:
    Path("good.json").write_text(json.dumps(GOOD))
    canned.answers["*"] = (200, "application/json", b'{"valid": false, "errors": ["not on Sundays"]}')
    result = run("manifest", "validate", "good.json")
    assert (result.status, "good.json:1:1: not on Sundays" in result.out) == (1, True)


def test_an_error_of_the_daemon_is_no_verdict(run: Run, workflow: RealRules) -> None:
    Path("good.json").write_text(json.dumps(GOOD))
    workflow.error = RuntimeError("bug")
    result = run("manifest", "validate", "good.json", "--json")
    assert (result.status, result.out) == (1, "")


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


def test_summaries(run: Run) -> None:
    artifact = {
        "manifest_version": "1.0",
        "disks": [{"id": "d1", "source_format": "vmdk", "bytes": 5, "local_path": "/srv/d1.vmdk"}],
    }
    batch = {"version": "1.0", "batch": True, "vms": [{**GUEST, "name": f"vm{number}"} for number in range(60)]}
    disks = [{"source_type": "vmdk", "source_path": f"/srv/{number}"} for number in range(2)]
    several = {**GOOD, "pipeline": {**GOOD["pipeline"], "load": {"disks": disks}}}
    for document, shown in ((artifact, "/srv/d1.vmdk"), (batch, "and 10 more"), (several, "/srv/1")):
        Path("m.json").write_text(json.dumps(document))
        result = run("manifest", "validate", "m.json")
        assert (result.status, shown in result.out) == (0, True)


def test_hostile_text_is_shown_harmless_and_short(run: Run) -> None:
    hostile = "\x1b[2J\u202e" + "x" * 10_000
    Path("m.json").write_text(json.dumps({**GOOD, hostile: 1, "name": hostile, "version": hostile}))
    result = run("manifest", "validate", "m.json")
    assert result.status == 1
    for text in (result.out, result.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert max(map(len, text.splitlines())) < 5000


def test_many_problems_are_counted(run: Run) -> None:
    Path("m.json").write_text(json.dumps({"version": "1.0", "batch": True, "vms": [{}] * 500}))
    result = run("manifest", "validate", "m.json")
    assert result.status == 1
    assert len(result.out.splitlines()) < 110
    assert result.out.rstrip().endswith("more")


def test_files_that_cannot_be_read(run: Run, elsewhere: Path) -> None:
    with Path("large.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    Path("loop.json").symlink_to("loop.json")
    for name in ("large.json", "missing.json", "loop.json", "a\0b.json", "x" * 300 + ".json"):
        result = run("manifest", "validate", name)
        assert (result.status, result.out) == (1, "")
        assert "remedy: " in result.err
