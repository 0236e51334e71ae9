"""What the guests of a job left in their journals and logs, in bounded pieces. Everything here blocks."""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.job_outcome import log_lines
from hypersdkd.engine.journal import JOURNAL, PROGRESS_END
from hypersdkd.model.event import Event
from hypersdkd.model.problem import fail, one_line
from hypersdkd.model.replies import EventPage

#: Bytes of all journals of a job together that one page reads, shared out evenly; of one that is longer, its end.
#: A day of one guest's progress is about 60 MiB.
_JOURNAL_BYTES: Final = 256 << 20

#: Bytes of one guest's log, and of all together, that are looked at for the last lines.
_LOG_BYTES: Final = 1 << 20
_ALL_LOGS_BYTES: Final = 16 << 20

#: Time, guest's number, number in its journal: what events are ordered by.
_Place = tuple[str, int, int]


def events_page(guests: Sequence[Path], limit: int, cursor: str) -> EventPage:
    """The first ``limit`` events after ``cursor``, by time. Of progress lines in a row only the last is one.

    Raises ``request-invalid`` for a cursor that no page gave.
    """
    after = _place_of(cursor)
    share = _JOURNAL_BYTES // max(1, len(guests))
    found = (row for guest in guests for row in _rows(guest, share) if row[0] > after)
    rows = heapq.nsmallest(limit + 1, found, key=lambda row: row[0])
    events = tuple(event for _place, event in rows[:limit])
    return EventPage(events, _cursor(rows[limit - 1][0]) if len(rows) > limit else "")


def _rows(guest: Path, share: int) -> Iterator[tuple[_Place, Event]]:
    number = int(guest.name)
    for line in _lines(guest / JOURNAL, share):
        try:
            event = Event.from_line(line.decode("ascii", "replace"))
        except ValueError:
            continue
        yield (event.time, number, event.seq), event


def _lines(journal: Path, share: int) -> Iterator[bytes]:
    """Its whole lines; of lines of progress in a row the last. They are not parsed: there may be a million."""
    progress = b""
    try:
        with journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - share))
            if size > share:
                file.readline()
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if line.endswith(PROGRESS_END):
                    progress = line
                    continue
                if progress:
                    yield progress
                    progress = b""
                yield line
    except FileNotFoundError:
        return
    if progress:
        yield progress


def last_lines(guests: Sequence[Path], lines: int) -> Sequence[str]:
    """The last lines of the logs of all guests, in the order of the guests; of several each with its guest's name."""
    found: list[Sequence[str]] = []
    wanted, room = lines, _ALL_LOGS_BYTES
    for guest in reversed(guests):
        if wanted <= 0 or room <= 0:
            break
        log = log_lines(guest, min(_LOG_BYTES, room))[-wanted:]
        name = f"{_name(guest)}: " if log and len(guests) > 1 else ""
        found.append([name + line for line in log])
        wanted -= len(log)
        room -= sum(len(line) + 1 for line in log)
    return [line for log in reversed(found) for line in log]


def _name(guest: Path) -> str:
    """What the guest of a directory is called; its number where that cannot be read."""
    try:
        return one_line(WorkOrder.read(guest).guest.name)
    except (OSError, KeyError, TypeError, ValueError):
        return guest.name


def _cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode("ascii")


def _place_of(cursor: str) -> _Place:
    if not cursor:
        return "", 0, 0
    try:
        time, guest, seq = json.loads(base64.urlsafe_b64decode(cursor))
        return str(time), int(guest), int(seq)
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise fail("request-invalid", "the cursor is not one that a page gave", path="cursor") from error
