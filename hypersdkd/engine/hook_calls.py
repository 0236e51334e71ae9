"""Calling hooks from the daemon: each plugin in a thread of its own, with a time limit.

A plugin that blocks holds up its own thread and nothing else; until it returns it is passed over. The limit of a
call begins when the thread is free for it, so that nobody is blamed for the calls before its own.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.engine.plugin_thread import CallTimeoutError, NotCalledError, PluginThread
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

#: Seconds that a call may wait for its turn. Hooks that only tell what is known wait no longer than they may take.
_PATIENCE: Final = 60.0


class HookCalls:
    """The daemon's way to the four calls."""

    def __init__(self, plugins: Plugins, limit: float = CALL_LIMIT) -> None:
        self._plugins = plugins
        self._limit = limit
        self._threads: dict[str, PluginThread] = {}

    @property
    def plugins(self) -> Plugins:
        """Whose hooks are called."""
        return self._plugins

    def replace(self, plugins: Plugins) -> None:
        """Call the hooks of ``plugins`` from now on. Of a plugin that is not the same any more the calls that were
        asked for are made, and its thread ends; who asks its successor does not wait for that."""
        stay = {record.name for record in plugins.records if any(record is one for one in self._plugins.records)}
        self._plugins = plugins
        for name in self._threads.keys() - stay:
            self._threads.pop(name).close()

    @property
    def readable_types(self) -> frozenset[str]:
        """Source types that a loaded plugin has a loader for."""
        return frozenset(name for loader in self._plugins.loaders for name in loader.source_types)

    async def each(
        self, hook: str, *, urgent: bool = False, **arguments: object
    ) -> Sequence[tuple[PluginRecord, object]]:
        """Every implementation's result, in pluggy's order. One that fails is blamed and left out.

        A ``ProblemError`` is an answer and is raised, but for hooks that only tell what is known. ``urgent``
        calls of a plugin are made before those that wait already.
        """
        called = [
            (found, self._call(hook, found, arguments, urgent=urgent)) for found in self._plugins.implementations(hook)
        ]
        results = await asyncio.gather(*(call for _found, call in called), return_exceptions=True)
        return [(found.record, result) for (found, _), result in zip(called, results, strict=True) if _usable(result)]

    async def first(self, hook: str, **arguments: object) -> object | None:
        """The first result that is not ``None``, each implementation asked in turn.

        A ``ProblemError`` is as in :meth:`each`; anything else that a plugin raises is its own fault.
        """
        for found in self._plugins.implementations(hook):
            try:
                result = await self._call(hook, found, arguments)
            except PluginCallError:
                continue
            if result is not None:
                return result
        return None

    def close(self) -> None:
        """End the threads that are not stuck."""
        for thread in self._threads.values():
            thread.close()

    async def _call(
        self, hook: str, found: Implementation, arguments: dict[str, object], *, urgent: bool = False
    ) -> object:
        look = hook in _LOOKS

        def call() -> object:
            return _checked(hook, found.call(*(arguments[name] for name in found.arguments)))

        limit = min(self._limit, LOOK_LIMIT) if look else self._limit
        patience = limit if look else _PATIENCE
        try:
            return await self.contained(found.record, call, limit=limit, patience=patience, urgent=urgent)
        except ProblemError as error:
            if not look:
                raise
            self._blame(found.record, error)
            raise PluginCallError(found.record.name) from error

    async def contained(
        self,
        record: PluginRecord,
        call: Callable[[], object],
        *,
        limit: float = CALL_LIMIT,
        patience: float = _PATIENCE,
        urgent: bool = False,
    ) -> object:
        """``call()`` in the thread of a plugin, for at most ``limit`` seconds once it has waited at most ``patience``
        for its turn. A ``ProblemError`` is its answer; of anything else that it raises, or if it does not return, the
        plugin is blamed, and a :class:`PluginCallError` says so; so does one that was not called.
        """
        thread = self._threads.get(record.name)
        if thread is None:
            thread = self._threads[record.name] = PluginThread(record.name)
        try:
            return await thread.call(call, limit, urgent=urgent, patience=patience)
        except NotCalledError as error:
            raise PluginCallError(record.name, called=False) from error
        except CallTimeoutError as error:
            record.blame(PluginState.FAULTY, f"a hook did not return within {limit:g} s")
            raise PluginCallError(record.name) from error
        except ProblemError:
            raise
        except Exception as error:
            self._blame(record, error)
            raise PluginCallError(record.name) from error

    def _blame(self, record: PluginRecord, error: Exception) -> None:
        detail = "".join(traceback.format_exception(error))
        record.blame(PluginState.FAULTY, f"{type(error).__name__}: {error}", detail)


def _checked(hook: str, result: object) -> object:
    """``result``, if the hook may return that. What goes into a reply as it is must be JSON, and is a copy."""
    if result is None:
        return None
    if isinstance(result, _ANSWERS[hook]):
        if isinstance(result, Mapping):
            return json.loads(json.dumps(dict(result), allow_nan=False))
        if isinstance(result, QueueInspection):
            json.dumps(result.as_dict(), allow_nan=False)
        return result
    raise TypeError(f"{hook} must return a {_ANSWERS[hook].__name__}, not {type(result).__name__}")


class PluginCallError(Exception):
    """A plugin's call failed, as its record says; or (``called`` is false) an earlier one still holds its thread."""

    def __init__(self, plugin: str, *, called: bool = True) -> None:
        super().__init__(plugin)
        self.called = called


def _usable(result: object) -> bool:
    if isinstance(result, ProblemError):
        raise result
    return not isinstance(result, BaseException)
