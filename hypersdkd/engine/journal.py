"""A guest's journal: one line an event, appended only, read by everybody, written by one at a time.

The worker writes while it runs; the daemon writes only when no worker holds the guest's lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hypersdkd.model.event import VOLATILE_EVENTS, Event, EventType, now, read_lines

JOURNAL: Final = "journal.jsonl"

#: Bytes read at a time when following a journal.
_CHUNK: Final = 1 << 20


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
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != len(content):
            os.ftruncate(self._fd, len(whole))
        last = 0
        for event in read_lines(whole.decode("ascii", "replace").splitlines(keepends=True)):
            last = event.seq
        return last

    def append(self, type_: EventType, stage: str = "", data: Mapping[str, object] | None = None) -> Event:
        """Write one event. Raises ``OSError`` when the disk is full."""
        self._seq += 1
        event = Event(self._seq, type_, now(), self._vm, stage, data or {})
        os.write(self._fd, event.to_line().encode("ascii"))
        if type_ not in VOLATILE_EVENTS:
            os.fsync(self._fd)
        return event

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
        events: list[Event] = []
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0  # a torn tail was mended: nothing whole was lost, but look again
                file.seek(self._offset)
                while chunk := file.read(_CHUNK):
                    whole = chunk[: chunk.rfind(b"\n") + 1]
                    if not whole:
                        break
                    self._offset += len(whole)
                    file.seek(self._offset)
                    events.extend(read_lines(whole.decode("ascii", "replace").splitlines(keepends=True)))
        except FileNotFoundError:
            return ()
        return events


def read_journal(guest_directory: Path) -> Sequence[Event]:
    """All whole events of a guest."""
    return JournalReader(guest_directory).read()
