"""docs/hypersdkd.md has the daemon's options and exit statuses as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hypersdkd.daemon import EXIT_CONFIG, main
from hypersdkd.engine.journal_entries import MESSAGE_IDS

PAGE = (Path(__file__).parent.parent / "docs" / "hypersdkd.md").read_text()


def test_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    real = re.findall(r"--[\w-]+", capsys.readouterr().out.split("options:")[1])
    told = re.findall(r"^\| `(--[\w-]+)", PAGE, re.MULTILINE)
    assert sorted(told) == sorted(real)


def test_every_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(f"mode: disk\nworkflow: {{base_dir: {tmp_path}}}\n")
    bad.write_text("mode: neither\n")
    with pytest.raises(SystemExit) as usage:
        main(["--bogus"])
    found = {usage.value.code, 1, *(main(["--check-config", "--config", str(path)]) for path in (good, bad))}
    assert (
        found == {int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == {0, 1, 2, EXIT_CONFIG}
    )


def test_every_entry_of_the_journal() -> None:
    assert dict(re.findall(r"^\| ([a-z ]+) \| `([0-9a-f]{32})` \|$", PAGE, re.MULTILINE)) == MESSAGE_IDS
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)
