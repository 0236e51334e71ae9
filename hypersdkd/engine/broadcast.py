"""The broadcast: every change, numbered, for whoever listens, with a memory for those who were cut off."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

#: Changes that are remembered for listeners that come back; at four a second and guest, minutes.
MEMORY: Final = 10_000

#: Changes that may wait for one listener; one that falls further behind starts anew.
BACKLOG: Final = 2_000

#: Digits of a number at most; who listens may send any text as an ID.
_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``id`` is opaque and grows; ``kind`` is ``job``, ``guest``, ``queue``, ``daemon`` or ``reset``."""

    id: str
    kind: str
    data: Mapping[str, object]


class Broadcast:
    """Loop only. Numbers start anew with each daemon, so an ID carries a token of its daemon."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(4)
        self._number = 0
        self._memory: deque[Change] = deque(maxlen=MEMORY)
        self._listeners: set[asyncio.Queue[Change | None]] = set()
        self._hearers: list[Callable[[Change], None]] = []

    def publish(self, kind: str, data: Mapping[str, object]) -> None:
        """Tell everybody. A listener with a full backlog is cut off, to start anew."""
        self._number += 1
        change = Change(f"{self._token}-{self._number}", kind, data)
        self._memory.append(change)
        for hearer in self._hearers:
            hearer(change)
        for queue in list(self._listeners):
            if queue.qsize() < BACKLOG:
                queue.put_nowait(change)
            else:  # what waits is still told, in one piece, so that the listener can ask for the rest
                self._listeners.discard(queue)
                queue.put_nowait(None)

    def hear(self, hearer: Callable[[Change], None]) -> None:
        """Call ``hearer`` at each change, in the loop; it must be quick and must not raise."""
        self._hearers.append(hearer)

    async def listen(self, last_id: str = "") -> AsyncIterator[Change]:
        """Changes after ``last_id``, then those to come. First a ``reset`` when some were missed for good."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            for change in self._missed(last_id):
                yield change
            while (next_change := await queue.get()) is not None:
                yield next_change
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """End all listeners."""
        for queue in self._listeners:
            queue.put_nowait(None)
        self._listeners.clear()

    def _missed(self, last_id: str) -> list[Change]:
        if not last_id:
            return []
        token, _, number = last_id.partition("-")
        first = self._number - len(self._memory)
        known = token == self._token and number.isascii() and number.isdigit() and len(number) <= _DIGITS
        if not known or not first <= int(number) <= self._number:
            return [Change(f"{self._token}-{self._number}", "reset", {})]
        return list(self._memory)[int(number) - first :]
