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

#: How a line of progress ends: no text within it can, for quotes are escaped there.
PROGRESS_END: Final = b'"type":"progress"}\n'

#: Bytes of a line at most; a source of 50,000 files is told in less. A longer one is passed over.
LINE_LIMIT: Final = 16 << 20

#: Bytes that a reader takes in one go; they are parsed in 50 to 100 ms.
_AT_ONCE: Final = 4 << 20

#: Bytes of lines other than progress, which all are kept in memory, and bytes that are written faster than they can be
#: read. A guest with 10,000 changes has less than a tenth of it.
FLOOD: Final = 64 << 20

#: Bytes of an honest line of progress at most.
_PROGRESS_LIMIT: Final = 1024


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
        return max((event.seq for event in read_lines(line.decode("ascii", "replace") for line in lines)), default=0)

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
    """Reads a journal that grows: each :meth:`read` gives events since the last one. It may be a stranger's."""

    def __init__(self, guest_directory: Path) -> None:
        self._path = guest_directory / JOURNAL
        self._offset = 0
        self.kept = 0
        """Bytes that were read of lines other than progress."""
        self.unread = 0
        """Bytes that were not, at the last look."""
        self.behind = False
        """Whether the limit ended the last look, so that there may be more to read."""

    def read(self, limit: int | None = _AT_ONCE) -> Sequence[Event]:
        """The new whole lines, of about ``limit`` bytes at most. A torn last line is left for later; a journal that is
        not there is empty."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                lines, size = _whole_lines(file, limit)
                self._offset += size
                self.behind = limit is not None and size >= limit
                self.unread = os.fstat(file.fileno()).st_size - self._offset
        except FileNotFoundError:
            return ()
        self.kept += sum(len(line) for line in lines if len(line) > _PROGRESS_LIMIT or not _is_progress(line))
        return list(read_lines(line.decode("ascii", "replace") for line in lines))

    def cut(self) -> None:
        """Take away from the journal what was not read of it. Only while nobody writes it."""
        os.truncate(self._path, self._offset)
        self.unread = 0


def _is_progress(line: bytes) -> bool:
    return line.endswith(PROGRESS_END)


def _whole_lines(file: BinaryIO, limit: int | None = None) -> tuple[Sequence[bytes], int]:
    """Lines from here on that have their newline, about ``limit`` bytes of them, and how many bytes they take with
    those that are passed over. Nothing else ends a line."""
    lines, size = [], 0
    while limit is None or size < limit:
        line = file.readline(LINE_LIMIT)
        length = len(line)
        if length == LINE_LIMIT and not line.endswith(b"\n"):  # too long: what comes of it is not kept
            line, rest = b"", line
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(LINE_LIMIT)
                length += len(rest)
            if not rest:
                break
        elif not line.endswith(b"\n"):
            break
        lines += [line] if line else []
        size += length
    return lines, size


def read_journal(guest_directory: Path) -> Sequence[Event]:
    """All whole events of a guest."""
    return JournalReader(guest_directory).read(None)
