"""A thread of one plugin, in which its hooks are called one after the other, urgent calls first."""

from __future__ import annotations

import asyncio
import heapq
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

#: Pieces in which a limit is waited for, so that a stall of the whole process is not taken for a plugin's.
_PIECES: Final = 5

_Task = tuple[Callable[[], object], "asyncio.Future[object]", asyncio.AbstractEventLoop]


class NotCalledError(Exception):
    """The thread is held by an earlier call, or too many wait for it: nobody is to blame for this call."""


class CallTimeoutError(Exception):
    """The call did not return in its time. It is left to itself, and holds the thread until it returns."""


class _Turns:
    """Whose turn it is: the urgent first, then in the order of asking."""

    def __init__(self) -> None:
        self._taken = False
        self._numbers = count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, *, urgent: bool) -> AsyncIterator[None]:
        if self._taken:
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (not urgent, next(self._numbers), mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._pass_on()
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            next_one = heapq.heappop(self._waiting)[2]
            if not next_one.done():
                next_one.set_result(None)  # it stays taken, by that one
                return
        self._taken = False


class PluginThread:
    """Started when it is made, ended with the process or by :meth:`close`."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._turns = _Turns()
        self._running: asyncio.Future[object] | None = None
        self._until = 0.0
        self._users = 0
        self._closing = False
        threading.Thread(target=self._run, daemon=True, name=f"plugin-{name}").start()

    @property
    def busy(self) -> bool:
        """Whether a call has not returned yet, be it that nobody waits for it any more."""
        return self._running is not None and not self._running.done()

    async def call(self, call: Callable[[], object], limit: float, *, urgent: bool = False, patience: float) -> object:
        """What ``call`` returns or raises. Its ``limit`` in seconds begins when the thread is free for it.

        Raises ``NotCalledError`` when its turn does not come within ``patience`` seconds or the thread is held,
        and ``CallTimeoutError``.
        """
        self._users += 1
        try:
            return await self._call(call, limit, urgent=urgent, patience=patience)
        finally:
            self._users -= 1
            self._end_if_unused()

    async def _call(self, call: Callable[[], object], limit: float, *, urgent: bool, patience: float) -> object:
        try:
            async with asyncio.timeout(patience) as waiting, self._turns.turn(urgent=urgent):
                if self.busy and not await self._free():
                    raise NotCalledError
                waiting.reschedule(None)
                self._running, self._until = self._submit(call), time.monotonic() + limit
                if not await _done_within(self._running, limit):
                    raise CallTimeoutError
                return self._running.result()
        except TimeoutError as error:
            if waiting.expired():
                raise NotCalledError from error
            raise

    async def _free(self) -> bool:
        """Whether a call that nobody waits for any more returns in what is left of its time."""
        assert self._running is not None
        return await _done_within(self._running, max(0.0, self._until - time.monotonic()))

    def close(self) -> None:
        """End the thread once all calls that were asked for are made and it is free; no other may follow."""
        self._closing = True
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self._closing and not self._users:
            self._tasks.put(None)

    def _submit(self, call: Callable[[], object]) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        future.add_done_callback(_seen)
        self._tasks.put((call, future, loop))
        return future

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            call, future, loop = task
            result: object = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            _deliver(loop, future, result, error)


def _deliver(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[object], result: object, error: BaseException | None
) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:
            future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop has ended; so has whoever asked


async def _done_within(future: asyncio.Future[object], limit: float) -> bool:
    """Whether the call returns within ``limit`` seconds; if not, it is left to itself."""
    for _ in range(_PIECES):
        await asyncio.wait({future}, timeout=limit / _PIECES)
        if future.done():
            return True
    return False


def _seen(done: asyncio.Future[object]) -> None:
    if not done.cancelled():
        done.exception()  # what comes after its time is nobody's
