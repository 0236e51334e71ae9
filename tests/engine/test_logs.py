"""The log: one line a message, whatever is in it, in the form that its reader wants."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog

from hypersdkd.engine import logs
from hypersdkd.host import journald


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


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


def test_a_person_need_not_see_what_is_empty(lines: Callable[[], str]) -> None:
    log = structlog.get_logger(job="a.json", vm="")
    logs.set_up("info", "console")
    log.info("claimed")
    assert ("a.json" in (text := lines()), "vm" in text) == (True, False)
    logs.set_up("info", "json")
    log.info("claimed")
    assert json.loads(lines())["vm"] == ""


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
    monkeypatch.setattr(journald, "send", lambda _fields: False)  # which this machine's would take
    logs.set_up("debug", "auto")
    getattr(structlog.get_logger(), method)("message", priority="mine")
    line = lines()
    assert line.startswith(f"<{priority}>{{")
    assert json.loads(line[3:])["event"] == "message"


def test_the_journal_gets_an_entry_with_fields(lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    given: list[Mapping[str, str]] = []
    monkeypatch.setattr(journald, "send", lambda fields: not given.append(fields))
    logs.set_up("info", "auto")
    structlog.get_logger().warning("guest failed", job="a.json", stage="")
    assert lines() == ""
    (entry,) = given
    assert (entry["HYPERSDKD_JOB"], entry["PRIORITY"]) == ("a.json", "4")
    assert json.loads(entry["MESSAGE"])["job"] == "a.json"


def test_a_person_gets_text(lines: Callable[[], str]) -> None:
    logs.set_up("info", "console")
    structlog.get_logger().info("message", job="a")
    text = lines()
    assert "message" in text
    assert not text.startswith("{")


def test_what_libraries_log_is_a_line_of_ours(lines: Callable[[], str]) -> None:
    logs.set_up("info", "json")
    logs.set_up("info", "json")
    try:
        raise OSError(24, "Too many open files")
    except OSError:
        logging.getLogger("asyncio").exception("accept\n%s", "failed")
    logging.getLogger("aiohttp.server").info("not shown")
    (line,) = lines().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["logger"], entry["level"]) == ("accept\nfailed", "asyncio", "error")
    assert "Too many open files" in entry["exception"]


def test_a_line_that_comes_again_and_again_is_left_out_and_counted(
    lines: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.set_up("info", "json")
    log = logging.getLogger("asyncio")
    for number in range(1000):
        log.error("connection %d", number)
    log.error("another")
    assert [json.loads(line)["event"] for line in lines().splitlines()] == [
        *(f"connection {number}" for number in range(5)),
        "another",
    ]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    monkeypatch.setattr(time, "time_ns", lambda: int((now + 61) * 1e9))
    log.error("connection %d", 1000)
    (line,) = lines().splitlines()
    assert json.loads(line)["left_out"] == 995


def test_kinds_of_lines_take_no_more_and_more_memory(lines: Callable[[], str]) -> None:
    logs.set_up("info", "json")
    for number in range(2500):
        logging.getLogger("asyncio").debug("%d", number)
        logging.getLogger("asyncio").error(f"kind {number}")
    (bridge,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Bridge)]
    assert len(bridge._seen) <= 1000
    assert len(lines().splitlines()) == 2500


def test_a_line_that_cannot_be_formatted_ends_nothing(lines: Callable[[], str]) -> None:
    logs.set_up("info", "json")
    (bridge,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, logs._Bridge)]
    bridge.emit(logging.LogRecord("asyncio", 35, "", 0, "%d", ("x",), None))
    entry = json.loads(lines())
    assert (entry["event"], entry["level"]) == ("%d", "warning")
