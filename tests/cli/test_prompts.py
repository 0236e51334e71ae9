"""manifest create on a terminal, as a person uses it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.cli.conftest import NOWHERE
from tests.cli.test_recordings import GOLDEN

FILE = Path("my-vm-manifest.json")

UP, DOWN, ESCAPE, ENTER = "\x1b[A", "\x1b[B", "\x1b", "\r"

#: The questions in their order, as patterns.
QUESTIONS = (
    "Source type",
    r"Source path \[.*\]:",
    r"INSPECT stage \(detect OS\)\? \[Y/n\]:",
    r"FIX stage \(fstab, grub, initramfs\)\? \[Y/n\]:",
    "Output format",
    r"compression\? \[Y/n\]:",
    r"VALIDATE stage\? \[Y/n\]:",
    "What to do",
    r"File name \[my-vm-manifest\.json\]:",
    r"Submit the manifest now\? \[y/N\]:",
)


@pytest.fixture
def terminal(elsewhere: Path) -> Iterator[pexpect.spawn]:
    """hyperctl manifest create on a terminal of its own."""
    child = pexpect.spawn(
        sys.executable,
        ["-c", "import sys; from hypersdkd.cli.hyperctl import main; sys.exit(main())", "manifest", "create"],
        env={"TERM": "xterm", "HYPERSDKD_URL": NOWHERE, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd=str(elsewhere),
        encoding="utf-8",
        dimensions=(40, 200),
        timeout=30,
    )
    child.delaybeforesend = None
    yield child
    child.close(force=True)


def ask(terminal: pexpect.spawn, *answers: str, first: int = 0) -> None:
    """Wait for each question from ``first`` on, and answer it."""
    for question, answer in zip(QUESTIONS[first:], answers, strict=False):
        terminal.expect(question)
        terminal.send(answer)


def end(terminal: pexpect.spawn) -> int | None:
    """The exit status."""
    terminal.expect(pexpect.EOF)
    terminal.close()
    return terminal.exitstatus


def test_the_defaults_by_enter(terminal: pexpect.spawn) -> None:
    ask(terminal, *[ENTER] * 10)
    assert end(terminal) == 0
    assert FILE.read_bytes() == (GOLDEN / "wizard" / "all-defaults.json").read_bytes()


def test_numbers_words_and_corrections(terminal: pexpect.spawn) -> None:
    ask(terminal, "2\r", "/srv/x.ova\r", "perhaps\r")
    terminal.expect("Type yes, no or back.")
    terminal.send("\x7f" * 7 + "n\r")
    ask(terminal, "no\r", DOWN + ENTER, "n\r", "N\r", ENTER, ENTER, "\r", first=3)
    assert end(terminal) == 0
    assert FILE.read_bytes() == (GOLDEN / "wizard" / "all-no.json").read_bytes()


def test_forth_and_back(terminal: pexpect.spawn) -> None:
    ask(terminal, ENTER, ESCAPE)  # from the path to the type
    ask(terminal, "6\r", ENTER, "back\r")  # from INSPECT to the source
    ask(terminal, UP + ENTER, "/srv/a b.vhdx\r", ENTER, "n\r", "5\r")  # from the format to INSPECT
    ask(terminal, ENTER, first=2)
    terminal.expect(r"initramfs\)\? \[y/N\]:")  # what was answered before is offered
    terminal.send(ENTER)
    ask(terminal, ENTER, ENTER, ESCAPE, first=4)  # from VALIDATE to the format
    ask(terminal, ENTER, ENTER, ENTER, UP + UP + DOWN + DOWN + DOWN + ENTER, first=4)  # from the review to the format
    ask(terminal, "2\r", ENTER, ENTER, ENTER, "back\r", first=4)  # from the file's name to the review
    ask(terminal, ENTER, "b.json\r", ENTER, first=7)
    assert end(terminal) == 0
    pipeline = json.loads(Path("b.json").read_bytes())["pipeline"]
    assert pipeline["load"] == {"source_type": "vhdx", "source_path": "/srv/a b.vhdx"}
    assert (pipeline["inspect"]["enabled"], pipeline["fix"]["grub"]["enabled"]) == (True, False)
    assert pipeline["convert"]["output_format"] == "raw"


@pytest.mark.parametrize(
    ("asked", "key", "status"),
    [(0, "\x03", 130), (1, "\x03", 130), (2, "\x03", 130), (0, "\x04", 1), (1, "\x04", 1), (7, "2\r", 0)],
)
def test_leaving_early_writes_nothing(terminal: pexpect.spawn, asked: int, key: str, status: int) -> None:
    ask(terminal, *[ENTER] * asked, key)
    assert end(terminal) == status
    assert "Traceback" not in (terminal.before or "")
    assert list(Path().iterdir()) == []


def test_a_path_is_completed(terminal: pexpect.spawn, elsewhere: Path) -> None:
    (elsewhere / "only-one.vmdk").write_bytes(b"KDMV")
    ask(terminal, ENTER, f"{elsewhere}/only\t")
    terminal.expect("-one.vmdk")
    terminal.send(ENTER)
    ask(terminal, *[ENTER] * 8, first=2)
    assert end(terminal) == 0
    assert json.loads(FILE.read_bytes())["pipeline"]["load"]["source_path"] == str(elsewhere / "only-one.vmdk")
