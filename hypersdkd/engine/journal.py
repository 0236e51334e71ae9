"""A guest's journal: one line an event, appended only, read by everybody, written by one at a time.

The worker writes while it runs; the daemon writes only when no worker holds the guest's lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from hypersdkd.model.event import VOLATILE_EVENTS, Event, EventType, read_lines
from hypersdkd.model.moment import now

JOURNAL: Final = "journal.jsonl"


class JournalWriter:
    """Appends events to a guest's journal; state changes are durable when :meth:`append` returns."""

    def __init__(self, guest_directory: Path, vm: str) -> None:
        self._vm = vm
        path = guest_directory / JOURNAL
        created = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        if created:
            directory = os.open(guest_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            os.fsync(directory)
            os.close(directory)
        self._seq = self._mend_tail()

    def _mend_tail(self) -> int:
        """Cut off a line that a crash tore, and return the last sequence number."""
        with os.fdopen(os.dup(self._fd), "rb") as file:
            lines, size = _whole_lines(file)
        if os.fstat(self._fd).st_size != size:
            os.ftruncate(self._fd, size)
        return max((event.seq for event in read_lines(lines)), default=0)

    def append(self, type_: EventType, stage: str = "", data: Mapping[str, object] | None = None) -> Event:
        """Write one event. Raises ``OSError`` when the disk is full; then no part of it stays.

        Raises ``ValueError`` or ``TypeError`` for data that is not JSON.
        """
        event = Event(self._seq + 1, type_, now(), self._vm, stage, data or {})
        self._write(event.to_line().encode("ascii"))
        self._seq += 1
        if type_ not in VOLATILE_EVENTS:
            os.fsync(self._fd)
        return event

    def _write(self, line: bytes) -> None:
        before = os.fstat(self._fd).st_size
        written = os.write(self._fd, line)
        if written != len(line):  # a disk that is nearly full takes a part: the next line must not join it
            os.ftruncate(self._fd, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JournalReader:
    """Reads a journal that grows: each :meth:`read` gives the events since the last one."""

    def __init__(self, guest_directory: Path) -> None:
        self._path = guest_directory / JOURNAL
        self._offset = 0

    def read(self) -> Sequence[Event]:
        """The new whole lines. A torn last line is left for later; a journal that is not there is empty."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                lines, size = _whole_lines(file)
        except FileNotFoundError:
            return ()
        self._offset += size
        return list(read_lines(lines))


def _whole_lines(file: BinaryIO) -> tuple[Sequence[str], int]:
    """The lines from here on that have their newline, however long, and their bytes. Nothing else ends a line."""
    lines = [line for line in file if line.endswith(b"\n")]
    return [line.decode("ascii", "replace") for line in lines], sum(map(len, lines))


def read_journal(guest_directory: Path) -> Sequence[Event]:
    """All whole events of a guest."""
    return JournalReader(guest_directory).read()
