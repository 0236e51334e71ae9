"""Calling hooks from the daemon: each plugin in a thread of its own, with a time limit.

A plugin that blocks holds up its own thread and nothing else; until it returns it is passed over.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.engine.plugins import Implementation, Plugins
from hypersdkd.model.problem import ProblemError
from hypersdkd.model.replies import QueueInspection, Receipt, Validation

#: Seconds that one hook call may take.
CALL_LIMIT: Final = 10.0

#: Seconds for hooks that only tell what is known: somebody waits for their answer within a second.
LOOK_LIMIT: Final = 0.5
_LOOKS: Final = frozenset({"hypersdkd_status", "hypersdkd_inspect_queue"})

#: What each hook must return if it returns anything.
_ANSWERS: Final[Mapping[str, type]] = {
    "hypersdkd_status": Mapping,
    "hypersdkd_inspect_queue": QueueInspection,
    "hypersdkd_validate_manifest": Validation,
    "hypersdkd_submit_manifest": Receipt,
}

#: Pieces in which a limit is waited for, so that a stall of the whole process is not taken for a plugin's.
_PIECES: Final = 5

_Task = tuple[Callable[[], object], "asyncio.Future[object]", asyncio.AbstractEventLoop]


class _PluginThread:
    """One plugin's thread; started by its first call, ended with the process."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self.busy = False
        threading.Thread(target=self._run, daemon=True, name=f"plugin-{name}").start()

    def submit(self, call: Callable[[], object]) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._tasks.put((call, future, loop))
        return future

    def close(self) -> None:
        self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            call, future, loop = task
            result: object = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:
                error = raised
            self._deliver(loop, future, result, error)

    @staticmethod
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


class HookCalls:
    """The daemon's way to the four calls."""

    def __init__(self, plugins: Plugins, limit: float = CALL_LIMIT) -> None:
        self._plugins = plugins
        self._limit = limit
        self._threads: dict[str, _PluginThread] = {}

    async def each(self, hook: str, **arguments: object) -> Sequence[tuple[PluginRecord, object]]:
        """Every implementation's result, in pluggy's order. One that fails is blamed and left out.

        A ``ProblemError`` is an answer and is raised, but for hooks that only tell what is known.
        """
        called = [(found, self._call(hook, found, arguments)) for found in self._plugins.implementations(hook)]
        results = await asyncio.gather(*(call for _found, call in called), return_exceptions=True)
        return [(found.record, result) for (found, _), result in zip(called, results, strict=True) if _usable(result)]

    async def first(self, hook: str, **arguments: object) -> object | None:
        """The first result that is not ``None``, each implementation asked in turn.

        A ``ProblemError`` is as in :meth:`each`; anything else that a plugin raises is its own fault.
        """
        for found in self._plugins.implementations(hook):
            try:
                result = await self._call(hook, found, arguments)
            except _FaultyPluginError:
                continue
            if result is not None:
                return result
        return None

    def close(self) -> None:
        """End the threads that are not stuck."""
        for thread in self._threads.values():
            thread.close()

    async def _call(self, hook: str, found: Implementation, arguments: dict[str, object]) -> object:
        limit = min(self._limit, LOOK_LIMIT) if hook in _LOOKS else self._limit
        record = found.record
        thread = self._threads.get(record.name)
        if thread is None:
            thread = self._threads[record.name] = _PluginThread(record.name)
        if thread.busy:
            raise _FaultyPluginError(record.name)
        future = thread.submit(lambda: found.call(*(arguments[name] for name in found.arguments)))
        if not await _done_within(future, limit):
            thread.busy = True
            future.add_done_callback(lambda done: _came_back(thread, done))
            record.blame(PluginState.FAULTY, f"a hook did not return within {limit:g} s")
            raise _FaultyPluginError(record.name)
        try:
            return _checked(hook, future.result())
        except Exception as error:
            if isinstance(error, ProblemError) and hook not in _LOOKS:
                raise
            record.blame(PluginState.FAULTY, f"{type(error).__name__}: {error}", traceback.format_exc())
            raise _FaultyPluginError(record.name) from error


async def _done_within(future: asyncio.Future[object], limit: float) -> bool:
    """Whether the call returns within ``limit`` seconds; if not, it is left to itself."""
    for _ in range(_PIECES):
        await asyncio.wait({future}, timeout=limit / _PIECES)
        if future.done():
            return True
    return False


def _checked(hook: str, result: object) -> object:
    if result is None or isinstance(result, _ANSWERS[hook]):
        return result
    raise TypeError(f"{hook} must return a {_ANSWERS[hook].__name__}, not {type(result).__name__}")


class _FaultyPluginError(Exception):
    """A plugin's call failed; its record says how."""


def _came_back(thread: _PluginThread, done: asyncio.Future[object]) -> None:
    thread.busy = False
    if not done.cancelled():
        done.exception()  # seen; the record has been blamed already


def _usable(result: object) -> bool:
    if isinstance(result, ProblemError):
        raise result
    return not isinstance(result, BaseException)
