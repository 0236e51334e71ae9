"""The log: one line a message, whatever is in it, in the form that its reader wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import structlog

from hypersdkd.engine import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    return lambda: capsys.readouterr().err


def test_json_is_one_line_of_ascii(lines: Callable[[], str]) -> None:
    logs.set_up("info", "auto")
    structlog.get_logger().bind(job="a\n\udcff").warning("evil\n{}", error="é\x1b[2J")
    structlog.get_logger().debug("not shown")
    (line,) = lines().splitlines()
    assert line.isascii()
    entry = json.loads(line)
    assert (entry["event"], entry["level"], entry["job"], entry["error"]) == (
        "evil\n{}",
        "warning",
        "a\n\udcff",
        "é\x1b[2J",
    )
    assert entry["timestamp"].endswith("Z")


def test_an_exception_is_in_the_line(lines: Callable[[], str]) -> None:
    logs.set_up("debug", "json")
    try:
        raise KeyError("why")
    except KeyError:
        structlog.get_logger().exception("failed")
    (line,) = lines().splitlines()
    assert "KeyError: 'why'" in json.loads(line)["exception"]


@pytest.mark.parametrize(
    ("method", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_a_journal_gets_priorities(
    lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch, method: str, priority: int
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    logs.set_up("debug", "auto")
    getattr(structlog.get_logger(), method)("message", priority="mine")
    line = lines()
    assert line.startswith(f"<{priority}>{{")
    assert json.loads(line[3:])["event"] == "message"


def test_a_person_gets_text(lines: Callable[[], str]) -> None:
    logs.set_up("info", "console")
    structlog.get_logger().info("message", job="a")
    text = lines()
    assert "message" in text
    assert not text.startswith("{")
