"""Hostile text, tables and boards, on a terminal and in a pipe."""

from __future__ import annotations

import io
import json

import pytest

from hypersdkd.cli.terminal import Terminal
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
    assert terminal.err.getvalue() == "ERROR  bad\n  remedy: mend it (-v shows the detail)\n"
    terminal.problem(problem, verbose=True)
    assert terminal.err.getvalue().endswith("  code: tool-failed\n  path: a.b\n  one\n  two\n")


def test_a_problem_without_detail_and_path_has_no_lines_for_them() -> None:
    terminal = piped()
    terminal.problem(Problem("usage", "bad", remedy="mend it"))
    terminal.problem(Problem("usage", "bad", remedy="mend it"), verbose=True)
    assert isinstance(terminal.err, io.StringIO)
    assert terminal.err.getvalue() == "ERROR  bad\n  remedy: mend it\n" * 2 + "  code: usage\n"
