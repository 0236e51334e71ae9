"""Hostile text, tables and boards, on a terminal and in a pipe."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.cli.terminal import LONGEST, Terminal, clean, duration, size
from hypersdkd.model.problem import Problem


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(**environment: str) -> Terminal:
    return Terminal(Tty(), Tty(), {"TERM": "xterm-256color", **environment})


def piped() -> Terminal:
    return Terminal(io.StringIO(), io.StringIO(), {"TERM": "xterm-256color"})


def written(terminal: Terminal) -> str:
    assert isinstance(terminal.out, io.StringIO)
    return terminal.out.getvalue()


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


ROWS = [["a-job-of-a-long-name.json", "\x1b[2Jgone"], ["[bold]x", "\u202ey"]]


def test_a_piped_table_is_columns_of_any_width() -> None:
    terminal = piped()
    terminal.table(("ID", "Name"), [*ROWS, ["i" * 200, "n"]])
    lines = written(terminal).splitlines()
    assert lines[1].split() == ["a-job-of-a-long-name.json", "gone"]
    assert lines[3].split() == ["i" * 200, "n"]
    assert len({line.index(word) for line, word in zip(lines, ("Name", "gone", "y", " n"), strict=True)}) == 2


def test_a_table_on_a_terminal_of_40_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = on_terminal(NO_COLOR="1")
    terminal.table(("ID", "Name"), [["x" * 60, "\x1b[2Jgone"], ["[bold]y", "\u202ez"]])
    lines = written(terminal).splitlines()
    assert max(map(len, lines)) <= 40
    assert sum(line.count("x") for line in lines) == 60
    assert "[bold]y" in written(terminal)
    assert "[2J" not in written(terminal)
    assert "\u202e" not in written(terminal)


@pytest.mark.parametrize(
    ("environment", "colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours(environment: dict[str, str], colours: bool) -> None:
    terminal = on_terminal(**environment)
    terminal.heading("Heading")
    terminal.note("ERROR", "bad")
    terminal.info("good")
    terminal.table(("A",), [["b"]])
    assert isinstance(terminal.err, io.StringIO)
    assert ("\x1b[" in written(terminal)) == colours
    assert ("\x1b[" in terminal.err.getvalue()) == colours


def test_a_pipe_has_no_escape_sequences() -> None:
    terminal = piped()
    terminal.heading("Heading")
    terminal.info("\x1b[31mgood")
    terminal.table(("A",), [["b"]])
    with terminal.board() as board:
        board.update(["a", "b"])
        board.update(["a", "c"])
    assert written(terminal) == "Heading\nINFO  good\nA\nb\na\nb\nc\n"


def test_a_board_on_a_terminal_is_redrawn_and_leaves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal = on_terminal()
    with pytest.raises(KeyboardInterrupt), terminal.board() as board:
        board.update(["first", "x" * 100])
        board.update(["\x1b[2Jsecond"])
        raise KeyboardInterrupt
    text = written(terminal)
    assert "first" in text
    assert "second" in text
    assert "\x1b[2J" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_json_is_ascii() -> None:
    terminal = piped()
    terminal.json({"name": "\x1b[31m\u202eé\udcff"}, line=True)
    assert written(terminal).isascii()
    assert "\x1b" not in written(terminal)
    assert json.loads(written(terminal)) == {"name": "\x1b[31m\u202eé\udcff"}


def test_a_problem_is_two_lines_unless_more_is_asked_for() -> None:
    terminal = piped()
    problem = Problem("tool-failed", "bad\x1b[0m", detail="one\ntwo\x07", remedy="mend it", path="a.b")
    terminal.problem(problem)
    assert isinstance(terminal.err, io.StringIO)
    assert terminal.err.getvalue() == "ERROR  bad\n  remedy: mend it\n"
    terminal.problem(problem, verbose=True)
    assert terminal.err.getvalue().endswith("  code: tool-failed\n  path: a.b\n  one\n  two\n")
