"""manifest create with answers from a pipe: one a line."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hypersdkd.model.manifest import read_manifest
from tests.cli.conftest import RealRules, Result, Run
from tests.cli.test_recordings import GOLDEN

#: Answers up to the review, all defaults.
DEFAULTS = [""] * 7
FILE = "my-vm-manifest.json"

#: Answers from the review to the file.
SAVED = ["", FILE]


@pytest.fixture
def answer(run: Run, monkeypatch: pytest.MonkeyPatch):
    """Run it with these lines on standard input."""

    def _answer(*lines: str | bytes, words: tuple[str, ...] = ()) -> Result:
        text = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return run("manifest", "create", *words)

    return _answer


def load(path: str = FILE) -> dict:
    return json.loads(Path(path).read_bytes())["pipeline"]["load"]


@pytest.mark.parametrize(
    ("recorded", "lines"),
    [
        ("all-defaults", ["", "", "", "", "", "", "", "", "", ""]),
        ("all-defaults", ["1", "", "y", "YES", "1", "Yes", "y", "1", FILE, "n"]),
        ("all-no", ["2", "/srv/x.ova", "n", "n", "2", "n", "n", "1", FILE, "n"]),
        ("all-no", ["ova", "/srv/x.ova", "no", "No", "raw", "N", "no", "save", "", ""]),
    ],
)
def test_the_recorded_manifests(answer, recorded: str, lines: list[str]) -> None:
    result = answer(*lines)
    assert result.status == 0
    assert Path(FILE).read_bytes() == (GOLDEN / "wizard" / f"{recorded}.json").read_bytes()
    assert f"Manifest saved to: {FILE}" in result.err
    assert "\x1b" not in result.out
    steps = [line for line in result.out.splitlines() if line.startswith("Step ")]
    assert steps == ["Step 1/4: Source", "Step 2/4: Pipeline", "Step 3/4: Output", "Step 4/4: Review"]


def test_what_it_writes_is_valid(answer) -> None:
    for number, lines in enumerate((DEFAULTS, ["8", "/srv/a", "n", "n", "4", "n", "n"])):
        assert answer(*lines, "", f"{number}.json").status == 0
        validation = read_manifest(Path(f"{number}.json").read_bytes())
        assert (validation.problems, validation.warnings) == ((), ())


def test_the_path_offered_goes_with_the_type(answer) -> None:
    assert "/path/to/disk.vhdx" in answer("5", *DEFAULTS[1:], *SAVED).out
    assert load() == {"source_type": "vhdx", "source_path": "/path/to/disk.vhdx"}


def test_a_whole_line_is_one_answer(answer) -> None:
    answer("", "  /srv/my own disk.vmdk ", *DEFAULTS[2:], *SAVED)
    assert load()["source_path"] == "/srv/my own disk.vmdk"


def test_what_is_no_choice_is_the_default_and_said_so(answer) -> None:
    result = answer("abc", "", "maybe", "", "9", *DEFAULTS[5:], *SAVED)
    assert load()["source_type"] == "vmdk"
    assert "abc is not a choice; vmdk is taken" in result.err
    assert "maybe is neither yes nor no; no is taken" in result.err
    assert "9 is not a choice; qcow2 is taken" in result.err
    assert json.loads(Path(FILE).read_bytes())["pipeline"]["inspect"]["enabled"] is False


# -- going back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "steps"),
    [
        (["back", *DEFAULTS, *SAVED], "11234"),  # nothing is before the first question
        (["", "back", *DEFAULTS, *SAVED], "11234"),
        (["", "", "Back", *DEFAULTS, *SAVED], "121234"),
        (["", "", "", "back", *DEFAULTS[2:], *SAVED], "12234"),
        (["", "", "", "", "5", *DEFAULTS[2:], *SAVED], "123234"),
        (["", "", "", "", "back", *DEFAULTS[2:], *SAVED], "123234"),
        (["", "", "", "", "", "back", *DEFAULTS[4:], *SAVED], "12334"),
        (["", "", "", "", "", "", "back", *DEFAULTS[4:], *SAVED], "12334"),
        ([*DEFAULTS, "3", *DEFAULTS[4:], *SAVED], "123434"),
        ([*DEFAULTS, "back", *DEFAULTS[4:], *SAVED], "123434"),
        ([*DEFAULTS, "", "back", *SAVED], "12344"),
    ],
)
def test_going_back(answer, lines: list[str], steps: str) -> None:
    result = answer(*lines)
    assert (result.status, "".join(re.findall(r"^Step (\d)", result.out, re.MULTILINE))) == (0, steps)
    assert Path(FILE).read_bytes() == (GOLDEN / "wizard" / "all-defaults.json").read_bytes()


def test_earlier_answers_are_offered_again(answer) -> None:
    answer("2", "/srv/a.ova", "n", "back", "", "", "2", "", "", "3", "", "", "", "", "", "")
    document = json.loads(Path(FILE).read_bytes())["pipeline"]
    assert document["load"] == {"source_type": "ova", "source_path": "/srv/a.ova"}
    assert (document["inspect"]["enabled"], document["convert"]["output_format"]) == (False, "raw")


# -- ending -------------------------------------------------------------------------------------------


def test_cancelled(answer) -> None:
    result = answer(*DEFAULTS, "2")
    assert (result.status, os.listdir()) == (0, [])
    assert "nothing was written" in result.err
    assert json.loads(answer(*DEFAULTS, "2", words=("--json",)).out)["manifest"] is None


@pytest.mark.parametrize("count", range(9))
def test_answers_that_end_too_early_write_nothing(answer, count: int) -> None:
    result = answer(*[""] * count)
    assert (result.status, os.listdir()) == (1, [])
    assert "nothing was written" in result.err
    assert "remedy" in result.err


def test_without_an_answer_nothing_is_submitted(answer) -> None:
    assert answer(*[""] * 9).status == 0
    assert os.listdir() == [FILE]


def test_a_closed_standard_input_is_no_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run("manifest", "create").status == 1


def test_an_endless_line_is_refused(answer) -> None:
    assert answer("x" * 10_000).status == 1


# -- the file -----------------------------------------------------------------------------------------


def test_another_manifest_is_replaced_only_when_told(answer) -> None:
    Path(FILE).write_text("mine")
    result = answer(*DEFAULTS, "", FILE, "", "other.json", "")
    assert (result.status, Path(FILE).read_text()) == (0, "mine")
    assert "exists and is another manifest. Replace it?" in result.out
    assert load("other.json")["source_type"] == "vmdk"
    assert answer(*DEFAULTS, "", FILE, "back", "", FILE, "y", "").status == 0
    assert load()["source_type"] == "vmdk"
    # the same again is no question
    assert "Replace" not in answer(*DEFAULTS, "", FILE, "").out


@pytest.mark.parametrize("name", ["a.yaml", "a.YML"])
def test_yaml_by_the_files_name(answer, name: str) -> None:
    assert answer(*DEFAULTS, "", name, "").status == 0
    text = Path(name).read_text()
    assert text.startswith("version: '1.0'\npipeline:\n  load:\n    source_type: vmdk\n")
    assert yaml.safe_load(text) == json.loads((GOLDEN / "wizard" / "all-defaults.json").read_bytes())


def test_a_file_that_cannot_be_written_is_asked_for_again(answer) -> None:
    result = answer(*DEFAULTS, "", "missing/a.json", "x" * 300 + ".json", "a\0b.json", FILE, "")
    assert (result.status, os.listdir()) == (0, [FILE])
    assert "no such file or directory" in result.err
    assert "file name too long" in result.err


def test_a_path_that_is_not_utf8_cannot_be_carried(answer) -> None:
    result = answer("", b"/srv/\xff.vmdk", *DEFAULTS[2:], "")
    assert (result.status, os.listdir()) == (1, [])
    assert "not UTF-8" in result.err


def test_a_source_that_is_here_is_looked_at(answer, elsewhere: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "disk.vmdk", "1M"], check=True)
    result = answer("", "disk.vmdk", "back", "qcow2", "", *DEFAULTS[2:], *SAVED)
    assert f"{elsewhere}/disk.vmdk is qcow2, not vmdk" in result.err
    assert load() == {"source_type": "qcow2", "source_path": f"{elsewhere}/disk.vmdk"}


def test_hostile_answers_reach_the_screen_as_text(answer) -> None:
    result = answer("", "/srv/\x1b[31mred\x07.vmdk", *DEFAULTS[2:], *SAVED)
    assert "\x1b" not in result.out + result.err
    assert load()["source_path"] == "/srv/\x1b[31mred\x07.vmdk"


# -- submitting ---------------------------------------------------------------------------------------


def test_submitted_at_the_end(answer, workflow: RealRules) -> None:
    result = answer(*DEFAULTS, "", "web01.json", "y")
    assert result.status == 0
    assert "Job ID: web01.json" in result.out
    assert workflow.calls == [("submit", Path("web01.json").read_bytes(), "", "", "web01")]


def test_without_a_daemon_the_file_stays(answer) -> None:
    result = answer(*DEFAULTS, "", "", "y")
    assert (result.status, os.listdir()) == (3, [FILE])
    assert "No daemon answers" in result.err


def test_a_refusal_is_told_with_its_place(answer, workflow: RealRules) -> None:
    result = answer("", "/" + "x" * 5000, *DEFAULTS[2:], "", "", "y")
    assert result.status == 1
    assert f"{FILE}:6:7: pipeline.load.source_path is longer than 4096 bytes" in result.out


def test_json_alone_is_on_standard_output(answer, workflow: RealRules) -> None:
    result = answer(*DEFAULTS, "", "web01.json", "y", words=("--json",))
    told = json.loads(result.out)
    assert told["manifest"] == json.loads(Path("web01.json").read_bytes())
    assert (told["manifest_path"], told["submitted"]["job_id"]) == ("web01.json", "web01.json")
    assert "Step 1/4: Source" in result.err
    told = json.loads(answer(*DEFAULTS, "", "", "", words=("--json",)).out)
    assert told["submitted"] is None
