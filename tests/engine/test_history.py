"""Journals and logs are read in bounded pieces, whatever their size."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from hypersdkd.engine import history
from hypersdkd.engine.guest_files import LOG, WorkOrder
from hypersdkd.engine.history import events_page, last_lines
from hypersdkd.engine.journal import JOURNAL
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.guest import Guest
from tests.problems import raises_problem


def guest(base: Path, number: int, *events: Event, tail: str = "") -> Path:
    directory = base / f"{number:05d}"
    directory.mkdir(exist_ok=True)
    (directory / JOURNAL).write_text("".join(event.to_line() for event in events) + tail)
    return directory


def event(seq: int, time: str, kind: EventType = EventType.FINDING, **data: object) -> Event:
    return Event(seq, kind, time, "vm", "", data)


def seqs(page: object) -> list[int]:
    return [each.seq for each in page.events]  # type: ignore[attr-defined]


def test_pages_go_through_all_guests_by_time(tmp_path: Path) -> None:
    guests = [
        guest(tmp_path, 1, *(event(number, f"t{number * 2:03d}") for number in range(1, 20))),
        guest(tmp_path, 2, *(event(number + 100, f"t{number * 2 + 1:03d}") for number in range(1, 20))),
        tmp_path / "00003",
    ]
    found, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = events_page(guests, 5, cursor)
        found, cursor, pages = found + list(page.events), page.cursor, pages + 1
    assert pages == 8
    assert [each.time for each in found] == sorted(each.time for each in found)
    assert len({each.seq for each in found}) == 38
    assert events_page([], 5, "") == history.EventPage()


def test_of_progress_in_a_row_the_last_is_shown(tmp_path: Path) -> None:
    progress = EventType.PROGRESS
    directory = guest(
        tmp_path,
        1,
        *(event(number, f"t{number}", progress, percent=number) for number in range(1, 4)),
        event(4, "t4", note='"type":"progress"}\n'),
        *(event(number, f"t{number}", progress) for number in range(5, 8)),
        tail='{"seq": 8',
    )
    assert seqs(events_page([directory], 10, "")) == [3, 4, 7]


def test_a_day_of_progress_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = guest(tmp_path, 1, *(event(number, "t", EventType.PROGRESS) for number in range(1, 5000)))
    parsed, from_line = [], Event.from_line
    monkeypatch.setattr(Event, "from_line", lambda line: parsed.append(line) or from_line(line))
    assert seqs(events_page([directory], 10, "")) == [4999]
    assert len(parsed) == 1


def test_of_journals_beyond_their_share_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = len(event(1, "t").to_line())
    monkeypatch.setattr(history, "_JOURNAL_BYTES", 2 * (3 * line + 5))
    guests = [guest(tmp_path, number, *(event(each, "t") for each in range(1, 10))) for number in (1, 2)]
    assert seqs(events_page(guests, 10, "")) == [7, 8, 9, 7, 8, 9]


@pytest.mark.parametrize("text", ["x", "é", '{"a": 1}', "[1]", '["t", "x", 1]', '["t", 1e999, 1]', "[" * 200])
def test_a_cursor_of_elsewhere(text: str) -> None:
    for cursor in (text, base64.urlsafe_b64encode(text.encode()).decode()):
        with raises_problem("request-invalid"):
            events_page([], 1, cursor)


def test_the_last_lines_of_all_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guests = [guest(tmp_path, number) for number in range(1, 5)]
    for number in (1, 2, 4):
        (guests[number - 1] / LOG).write_text("".join(f"{number}.{line}\n" for line in range(3)))
    WorkOrder("job", Guest("web\n01", ()), ()).write(guests[1])
    expected = ["web\\n01: 2.1", "web\\n01: 2.2", "00004: 4.0", "00004: 4.1", "00004: 4.2"]
    assert list(last_lines(guests, 5)) == expected
    assert list(last_lines(guests[1:2], 2)) == ["2.1", "2.2"], "of one guest there is nothing to tell apart"
    assert len(last_lines(guests, 100)) == 9
    assert last_lines(guests, 0) == []
    monkeypatch.setattr(history, "_ALL_LOGS_BYTES", 12)
    assert list(last_lines(guests, 5)) == expected[2:]
