"""Slots: how many guests run at once, and who waits for one."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A fair semaphore whose size can change and which can be paused. Loop only; no locking needed."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._open = True
        self._expected = 0
        self.in_use = 0

    @property
    def capacity(self) -> int:
        """How many guests may run at once."""
        return self._capacity

    @property
    def idle(self) -> int:
        """Slots that nobody uses, waits for, or is about to ask for."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        return self._capacity - self.in_use - waiting - self._expected if self._open else 0

    def expect(self) -> None:
        """A job was claimed that will ask for a slot; until then it counts as if it waited for one."""
        self._expected += 1

    def met(self) -> None:
        """The job has asked, or never will."""
        self._expected -= 1

    def take(self) -> None:
        """Take a slot for a guest that runs already, whether one is free or not."""
        self.in_use += 1

    def resize(self, capacity: int) -> None:
        """Change the size; guests that run go on."""
        self._capacity = capacity
        self._grant()

    def shut(self) -> None:
        """Grant nothing more."""
        self._open = False

    def reopen(self) -> None:
        """Undo :meth:`shut`."""
        self._open = True
        self._grant()

    async def acquire(self) -> None:
        """Wait for a slot, first come first served."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back."""
        self.in_use -= 1
        self._grant()

    def _grant(self) -> None:
        while self._open and self._waiters and self.in_use < self._capacity:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.in_use += 1
                waiter.set_result(None)
