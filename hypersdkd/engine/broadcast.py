"""The broadcast: every change, numbered, for whoever listens, with a memory for those who were cut off."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from hypersdkd.model.change import Change

#: Changes that are remembered for listeners that come back; at four a second and guest, minutes.
MEMORY: Final = 10_000

#: Changes that may wait for one listener; one that falls further behind is cut off and comes back by its last ID.
BACKLOG: Final = 2_000


class Listener:
    """One who listens; a context manager, within the loop."""

    def __init__(self, broadcast: Broadcast, missed: Sequence[Change]) -> None:
        self._broadcast = broadcast
        self._missed = deque(missed)
        self._waiting: deque[Change] = deque()
        self._news = asyncio.Event()
        self._cut_off = False
        self._hang_up: Callable[[], None] | None = None

    async def next(self) -> Change | None:
        """The next change. ``None`` when it is cut off or the broadcast ends. May be cancelled and called again."""
        if self._missed:
            return self._missed.popleft()
        while not self._waiting:
            if self._cut_off:
                return None
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def at_hand(self) -> Sequence[Change]:
        """All that waits already."""
        found = [*self._missed, *self._waiting]
        self._missed.clear()
        self._waiting.clear()
        return found

    def tell(self, change: Change) -> None:
        """A change for this listener; only the broadcast calls it."""
        if len(self._waiting) >= BACKLOG:
            self.cut_off()
        else:
            self._waiting.append(change)
            self._news.set()

    def cut_off(self) -> None:
        """Nothing more comes after what waits."""
        self._cut_off = True
        self._news.set()
        self._broadcast.forget(self)
        if self._hang_up is not None:
            self._hang_up()

    def when_cut_off(self, hang_up: Callable[[], None]) -> None:
        """Call ``hang_up`` then: whoever listens may be stuck telling another what it heard."""
        self._hang_up = hang_up

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broadcast.forget(self)


class Broadcast:
    """Loop only. Numbers start anew with each daemon, so an ID carries a token of its daemon."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(4)
        self._number = 0
        self._memory: deque[Change] = deque(maxlen=MEMORY)
        self._listeners: set[Listener] = set()
        self._closed = False

    @property
    def last_id(self) -> str:
        """The ID of the last change; who listens from it on hears of all later ones."""
        return f"{self._token}-{self._number}"

    @property
    def closed(self) -> bool:
        """Whether nothing more will come, for nobody."""
        return self._closed

    def publish(self, kind: str, data: Mapping[str, object]) -> None:
        """Tell everybody."""
        self._number += 1
        change = Change(f"{self._token}-{self._number}", kind, data)
        self._memory.append(change)
        for listener in list(self._listeners):
            listener.tell(change)

    def listen(self, last_id: str = "") -> Listener:
        """Listen to what comes after ``last_id``. The first change is a ``reset`` when some are not known any more,
        also for one who listens for the first time: it then looks once, and knows what its look may have missed."""
        listener = Listener(self, self._missed(last_id))
        if self._closed:
            listener.cut_off()
        else:
            self._listeners.add(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """It does not listen any more."""
        self._listeners.discard(listener)

    def close(self) -> None:
        """End all listeners, and those to come."""
        self._closed = True
        for listener in list(self._listeners):
            listener.cut_off()

    def _missed(self, last_id: str) -> Sequence[Change]:
        token, _, number = last_id.partition("-")
        first = self._number - len(self._memory)
        known = token == self._token and number.isascii() and number.isdigit() and len(number) < 20
        if not known or not first <= int(number) <= self._number:
            return [Change(self.last_id, "reset", {})]
        return list(self._memory)[int(number) - first :]
