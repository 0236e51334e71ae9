"""manifest validate: places, remedies, whose rules; files, directories and standard input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Canned, RealRules, Run
from tests.cli.test_recordings import GOOD

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


def test_of_several_each_says_which_it_is(run: Run) -> None:
    for name in ("a.json", "b.json"):
        Path(name).write_text(json.dumps(GOOD))
    result = run("manifest", "validate", "a.json", "b.json")
    assert [line for line in result.out.splitlines() if "File: " in line] == [
        "INFO  File: a.json",
        "INFO  File: b.json",
    ]
    assert "Manifest is valid! (a.json)" in result.err
    assert "Manifest is valid! (b.json)" in result.err
    assert "a.json" not in run("manifest", "validate", "a.json").out, "there is no other"


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
    assert (result.status, json.loads(result.out)["error"]["code"]) == (1, "internal")


def test_hostile_text_is_shown_harmless_and_short(run: Run) -> None:
    hostile = "\x1b[2J\u202e" + "x" * 10_000
    Path("m.json").write_text(json.dumps({**GOOD, hostile: 1, "name": hostile, "version": hostile}))
    result = run("manifest", "validate", "m.json")
    assert result.status == 1
    for text in (result.out, result.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert max(map(len, text.splitlines())) < 5000


def test_a_job_config_is_called_one_without_a_daemon(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERSDKD_URL", "http://127.0.0.1:9")
    Path("job.yaml").write_text("input: web01.vmdk\nfstab_mode: noop\nfix_grub: false\n")
    result = run("manifest", "validate", "job.yaml")
    assert result.status == 0
    for words in ("Job Config Summary", "web01.vmdk", "qcow2", "Job config is valid!"):
        assert words in result.out + result.err
    Path("jobs.yaml").write_text("jobs:\n  - input: a.vmdk\n  - input: b.iso\n    compres: true\n")
    result = run("manifest", "validate", "jobs.yaml")
    assert result.status == 1
    lines = result.out.splitlines()
    assert any(line.startswith("  jobs.yaml:3:5: jobs[1].input") for line in lines)
    assert any(line.startswith("  jobs.yaml:4:5: warning: jobs[1].compres") and "compress" in line for line in lines)
    assert "Job config validation failed: jobs.yaml" in result.err
    assert json.loads(run("manifest", "validate", "jobs.yaml", "--json").out)["taken_for"] == "job-config"


def test_a_list_of_jobs_is_shown_as_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERSDKD_URL", "http://127.0.0.1:9")
    Path("jobs.json").write_text(json.dumps({"jobs": [{"input": f"{number}.raw"} for number in range(60)]}))
    out = run("manifest", "validate", "jobs.json").out
    assert "Batch (60 disks)" in out and "1. Input: 0.raw; Output Format: qcow2" in out and "and 10 more" in out
