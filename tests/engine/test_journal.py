"""A journal is read as it grows, and survives what a crash or a full disk does to its end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.engine import journal
from hypersdkd.engine.journal import JOURNAL, JournalReader, JournalWriter, read_journal
from hypersdkd.model.event import EventType


def write(directory: Path, *types: EventType) -> None:
    with JournalWriter(directory, "vm") as journal:
        for type_ in types:
            journal.append(type_, "load", {"key": "\n\u2028"})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(tmp_path, EventType.CLAIMED, EventType.STARTED)
    write(tmp_path, EventType.FINISHED)
    events = read_journal(tmp_path)
    assert [(event.seq, event.type) for event in events] == [
        (1, EventType.CLAIMED),
        (2, EventType.STARTED),
        (3, EventType.FINISHED),
    ]
    assert (events[0].vm, events[0].data) == ("vm", {"key": "\n\u2028"})


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path)) == []
    assert list(read_journal(tmp_path / "none")) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_it_may_be_cut_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / JOURNAL
    path.unlink(missing_ok=True)
    write(tmp_path, EventType.CLAIMED, EventType.STARTED, EventType.FINDING)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    reader = JournalReader(tmp_path)
    assert [event.seq for event in reader.read()] == list(range(1, whole + 1))
    write(tmp_path, EventType.RECOVERED)
    assert [(event.seq, event.type) for event in reader.read()] == [(whole + 1, EventType.RECOVERED)]
    assert len(read_journal(tmp_path)) == whole + 1


def test_a_reader_follows_a_line_that_grows_byte_by_byte(tmp_path: Path) -> None:
    write(tmp_path, EventType.CLAIMED, EventType.STARTED)
    content = (tmp_path / JOURNAL).read_bytes()
    os.truncate(tmp_path / JOURNAL, 0)
    reader, seen = JournalReader(tmp_path), []
    with (tmp_path / JOURNAL).open("ab", buffering=0) as file:
        for byte in content:
            file.write(bytes([byte]))
            seen += [event.type for event in reader.read()]
    assert seen == [EventType.CLAIMED, EventType.STARTED]
    assert list(reader.read()) == []


def test_a_line_of_many_megabytes_is_read(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "vm") as journal:
        journal.append(EventType.FINDING, "load", {"key": "big", "value": "x" * (3 << 20)})
        journal.append(EventType.FINISHED)
    assert [event.type for event in JournalReader(tmp_path).read()] == [EventType.FINDING, EventType.FINISHED]


@pytest.mark.parametrize("junk", [b"\0" * 300 + b"\n", b"a\rb\x0cc\x1cd\xe2\x80\xa8\n", b"\n\n", b"{}\n", b"\xff\n"])
def test_junk_hides_nothing_that_follows(tmp_path: Path, junk: bytes) -> None:
    write(tmp_path, EventType.CLAIMED)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(junk)
    write(tmp_path, EventType.STARTED)
    assert [(event.seq, event.type) for event in read_journal(tmp_path)] == [
        (1, EventType.CLAIMED),
        (2, EventType.STARTED),
    ]


def test_a_disk_that_takes_a_part_of_a_line_keeps_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JournalWriter(tmp_path, "vm") as journal:
        journal.append(EventType.STARTED)
        real = os.write
        monkeypatch.setattr(os, "write", lambda fd, line: real(fd, line[:10]))
        with pytest.raises(OSError) as raised:
            journal.append(EventType.FINISHED)
        assert raised.value.errno == errno.ENOSPC
        monkeypatch.setattr(os, "write", real)
        journal.append(EventType.FAILED)
    assert [(event.seq, event.type) for event in read_journal(tmp_path)] == [
        (1, EventType.STARTED),
        (2, EventType.FAILED),
    ]


def test_what_is_not_json_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "vm") as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append(EventType.FINDING, data={"value": float("nan")})
        journal.append(EventType.FINISHED)
    assert [event.seq for event in read_journal(tmp_path)] == [1]


def test_changes_of_state_are_durable_and_the_rest_rides_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with JournalWriter(tmp_path, "vm") as journal:
        monkeypatch.setattr(os, "fsync", synced.append)
        for type_ in (EventType.PROGRESS, EventType.FINDING):
            journal.append(type_)
        assert synced == []
        for number, type_ in enumerate((EventType.STARTED, EventType.PUBLISHING, EventType.FINISHED), start=1):
            journal.append(type_)
            assert len(synced) == number


def test_a_journal_is_not_a_link(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        JournalWriter(tmp_path, "vm")


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LINE_LIMIT", 200)
    with JournalWriter(tmp_path, "web01") as writer:
        writer.append(EventType.STARTED)
        writer.append(EventType.WARNING, "load", {"message": "x" * 1000})
        writer.append(EventType.FINISHED)
    reader = JournalReader(tmp_path)
    assert [event.type for event in reader.read()] == ["started", "finished"]
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b"x" * 500)
    assert (list(reader.read()), reader.unread) == ([], 500)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b"\n")
    assert (list(reader.read()), reader.unread) == ([], 0)
    with JournalWriter(tmp_path, "web01") as writer:
        assert writer.append(EventType.CANCELLED).seq == 4
    assert [event.type for event in reader.read()] == ["cancelled"]


def test_a_long_journal_is_read_in_pieces_and_can_be_cut(tmp_path: Path) -> None:
    with JournalWriter(tmp_path, "web01") as writer:
        for percent in range(50):
            writer.append(EventType.PROGRESS, "convert", {"percent": percent})
    reader, found = JournalReader(tmp_path), []
    for _piece in range(5):
        found += reader.read(500)
        assert reader.behind
    assert found
    assert (reader.unread > 0, reader.kept) == (True, 0), "progress is not kept"
    reader.cut()
    assert (list(reader.read()), reader.behind) == ([], False)
    assert len(read_journal(tmp_path)) == len(found)
