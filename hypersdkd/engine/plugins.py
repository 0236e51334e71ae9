"""Finding plugins, loading them, and keeping what goes wrong in one from harming anything else."""

from __future__ import annotations

import difflib
import importlib.metadata
import inspect
import os
import re
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

import pluggy

from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.host.files import open_regular
from hypersdkd.spec.hooks import PROJECT, Hooks
from hypersdkd.spec.system import Fixer, GuestCheck
from hypersdkd.spec.types import WELL_KNOWN_PATHS, Endpoint, Executor, Loader, Step, Subscriber

#: Seconds that a plugin's import may take, and each of its declarations.
IMPORT_LIMIT: Final = 10.0

_Result = TypeVar("_Result")
_Declared = TypeVar("_Declared", Loader, Step, Fixer, GuestCheck, Executor, Subscriber, Endpoint)

#: A plugin that keeps something is a class of this name in its module.
_CLASS: Final = "Plugin"

#: What a plugin's own addresses look like, below ``/api/plugins/NAME/``: nothing in them that is ever escaped.
_OWN_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


@dataclass(frozen=True, slots=True)
class Implementation:
    """One plugin's function for one hook."""

    record: PluginRecord
    call: Callable[..., object]
    arguments: tuple[str, ...]


class Plugins:
    """All plugins of a process. Built once by :meth:`load`; a bad one is recorded, never fatal."""

    def __init__(self) -> None:
        self._pluggy = pluggy.PluginManager(PROJECT)
        self._pluggy.add_hookspecs(Hooks)
        self._former: Plugins | None = None
        self._codes: dict[str, bytes] = {}
        self._settings: Mapping[str, Mapping[str, object]] = {}
        self._records: dict[str, PluginRecord] = {}
        self._loaders: list[Loader] = []
        self._steps: list[tuple[str, Step]] = []
        self._fixers: list[tuple[str, Fixer]] = []
        self._guest_checks: list[tuple[str, GuestCheck]] = []
        self._executors: list[Executor] = []
        self._subscribers: list[tuple[PluginRecord, Subscriber]] = []
        self._endpoints: dict[str, tuple[PluginRecord, Endpoint]] = {}

    @classmethod
    def load(
        cls,
        directories: Sequence[Path] = (),
        disabled: Iterable[str] = (),
        only: frozenset[str] | None = None,
        former: Plugins | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Plugins:
        """Load every entry point of the group ``hypersdkd``, then every ``*.py`` of the directories.

        ``only`` names those that are wanted; the others are not even recorded. Of ``former``, which these take over
        from, a plugin stays the one it is, with all that it keeps, if its code and its ``settings`` (of each plugin, by
        its name) are the same and it has not failed.
        """
        plugins = cls()
        plugins._former = former
        plugins._settings = settings or {}
        off = frozenset(disabled)
        points = [point for point in importlib.metadata.entry_points(group=PROJECT) if _wanted(point.name, only)]
        for point in sorted(points, key=lambda point: point.name):
            version = point.dist.version if point.dist else ""
            plugins._add(PluginRecord(point.name, point.value, version=version), off, point.load)
        for path in _drop_ins(directories):
            if not _wanted(path.stem, only):
                continue
            record = PluginRecord(path.stem, str(path))
            refusal = _unsafe(path)
            try:
                source = b"" if refusal else _read_drop_in(path)
            except OSError as error:
                refusal = (
                    str(error) if isinstance(error, PermissionError) else f"{path} cannot be read: {error.strerror}"
                )
            if refusal:
                plugins._refuse(record, refusal)
            else:
                plugins._add(record, off, lambda path=path, source=source: _import_source(path, source), source)  # type: ignore[misc]
        plugins._former = None
        return plugins

    # -- what there is ----------------------------------------------------------------------------

    @property
    def records(self) -> Sequence[PluginRecord]:
        """One for each plugin that was found, in the order of loading."""
        return tuple(self._records.values())

    @property
    def loaders(self) -> Sequence[Loader]:
        """All declared loaders."""
        return tuple(self._loaders)

    @property
    def steps(self) -> Sequence[tuple[str, Step]]:
        """All declared steps, each with its plugin's name, in the order in which they run within a stage."""
        return tuple(sorted(self._steps, key=lambda item: (item[1].order, item[1].name)))

    @property
    def fixers(self) -> Sequence[tuple[str, Fixer]]:
        """All declared fixers, each with its plugin's name, in the order in which they run."""
        return tuple(sorted(self._fixers, key=lambda item: (item[1].order, item[1].name)))

    @property
    def guest_checks(self) -> Sequence[tuple[str, GuestCheck]]:
        """All declared checks of guests, in the same way."""
        return tuple(sorted(self._guest_checks, key=lambda item: (item[1].order, item[1].name)))

    @property
    def executors(self) -> Sequence[Executor]:
        """All declared executors."""
        return tuple(self._executors)

    @property
    def subscribers(self) -> Sequence[tuple[PluginRecord, Subscriber]]:
        """All declared subscribers, each with its plugin's record."""
        return tuple(self._subscribers)

    @property
    def endpoints(self) -> Mapping[str, tuple[PluginRecord, Endpoint]]:
        """All declared endpoints by their path, each with its plugin's record."""
        return self._endpoints

    @property
    def for_workers(self) -> Sequence[str]:
        """Names of the plugins that a worker needs: those that declare what runs there."""
        needed = {"hypersdkd_loaders", "hypersdkd_steps", "hypersdkd_fixers", "hypersdkd_guest_checks"}
        return [record.name for record in self.records if record.usable and needed & set(record.hooks)]

    def implementations(self, hook: str) -> Sequence[Implementation]:
        """Who implements a hook, in the order of pluggy: the latest registered first, ``tryfirst`` before."""
        caller = getattr(self._pluggy.hook, hook)
        return tuple(
            Implementation(self._records[found.plugin_name], found.function, found.argnames)
            for found in reversed(caller.get_hookimpls())
        )

    # -- loading ----------------------------------------------------------------------------------

    def _refuse(self, record: PluginRecord, reason: str) -> None:
        record.blame(PluginState.REFUSED, reason)
        key = record.name if record.name not in self._records else record.source
        self._records[key] = record

    def _add(
        self, record: PluginRecord, disabled: frozenset[str], load: Callable[[], object], code: bytes = b""
    ) -> None:
        if record.name in self._records:
            self._refuse(record, f"its name is taken by {self._records[record.name].source}")
            return
        self._records[record.name] = record
        if record.name in disabled:
            record.state = PluginState.DISABLED
            return
        self._codes[record.name] = code
        given = self._settings.get(record.name)
        same = self._former._same(record, code, given) if self._former is not None else None
        if same is not None:
            record = self._records[record.name] = same[0]
        try:
            self._register(record, same[1] if same else _within(IMPORT_LIMIT, lambda: _instance(load(), given)))
        except TimeoutError:
            record.blame(PluginState.BROKEN, f"its import or a declaration took longer than {IMPORT_LIMIT:g} s")
        except BaseException as error:
            record.blame(PluginState.BROKEN, f"{type(error).__name__}: {error}", traceback.format_exc())
        if record.state is PluginState.BROKEN and self._pluggy.has_plugin(record.name):
            self._pluggy.unregister(name=record.name)

    def _same(
        self, record: PluginRecord, code: bytes, settings: Mapping[str, object] | None
    ) -> tuple[PluginRecord, object] | None:
        """The plugin here, with its record, that all this is of, if nothing has befallen it."""
        mine = self._records.get(record.name)
        if mine is None or mine.state is not PluginState.LOADED or mine.source != record.source:
            return None
        unchanged = self._codes[record.name] == code and self._settings.get(record.name) == settings
        return (mine, self._pluggy.get_plugin(record.name)) if unchanged else None

    def _register(self, record: PluginRecord, plugin: object) -> None:
        self._pluggy.register(plugin, name=record.name)
        record.hooks = tuple(caller.name for caller in self._pluggy.get_hookcallers(plugin) or ())
        known = [name for name in vars(Hooks) if name.startswith(PROJECT)]
        for hook in record.hooks:
            if hook not in known:
                near = difflib.get_close_matches(hook, known, n=1)
                raise LookupError(f"there is no hook {hook}" + (f"; did you mean {near[0]}?" if near else ""))
        for caller in self._pluggy.get_hookcallers(plugin) or ():
            for found in caller.get_hookimpls():
                if found.plugin is plugin:
                    _check_shape(caller.name, found)
        loaders = _declared(plugin, "hypersdkd_loaders", Loader)
        steps = _declared(plugin, "hypersdkd_steps", Step)
        fixers = _declared(plugin, "hypersdkd_fixers", Fixer)
        guest_checks = _declared(plugin, "hypersdkd_guest_checks", GuestCheck)
        executors = _declared(plugin, "hypersdkd_executors", Executor)
        subscribers = _declared(plugin, "hypersdkd_subscribers", Subscriber)
        endpoints = self._checked(record, _declared(plugin, "hypersdkd_endpoints", Endpoint))
        self._loaders += loaders
        self._steps += [(record.name, step) for step in steps]
        self._fixers += [(record.name, fixer) for fixer in fixers]
        self._guest_checks += [(record.name, check) for check in guest_checks]
        self._executors += executors
        self._subscribers += [(record, subscriber) for subscriber in subscribers]
        self._endpoints |= endpoints

    def _checked(
        self, record: PluginRecord, endpoints: Sequence[Endpoint]
    ) -> Mapping[str, tuple[PluginRecord, Endpoint]]:
        """The endpoints by path. Raises ``ValueError`` for a path that the plugin may not have."""
        own, found = f"/api/plugins/{record.name}", dict[str, tuple[PluginRecord, Endpoint]]()
        for endpoint in endpoints:
            path = endpoint.path
            if path in self._endpoints or path in found:
                owner = self._endpoints[path][0].name if path in self._endpoints else record.name
                raise ValueError(f"the endpoint {path} is that of plugin {owner} already")
            if path not in WELL_KNOWN_PATHS and not (path.startswith(own) and _OWN_PATH.fullmatch(path[len(own) :])):
                known = ", ".join(sorted(WELL_KNOWN_PATHS))
                raise ValueError(f"an endpoint of it must be below {own}/ or be one of {known}, not {path!r}")
            found[path] = (record, endpoint)
        return found


def _instance(module: object, settings: Mapping[str, object] | None) -> object:
    """The plugin of a module: one made of its class ``Plugin`` if it has one, else the module itself.

    The class gets its settings, an empty mapping without any, if it takes them. ``ValueError`` for settings that
    nobody takes: they would silently do nothing.
    """
    kind = getattr(module, _CLASS, None)
    if isinstance(kind, type) and inspect.signature(kind).parameters:
        return kind(settings or {})
    if settings:
        raise ValueError("the configuration has settings for it, and it takes none")
    return kind() if isinstance(kind, type) else module


def _wanted(name: str, only: frozenset[str] | None) -> bool:
    return only is None or name in only


def _check_shape(hook: str, found: pluggy.HookImpl) -> None:
    if found.hookwrapper or found.wrapper:
        raise TypeError(f"{hook}: wrappers are not called; each implementation is called by itself")
    if inspect.iscoroutinefunction(found.function):
        raise TypeError(f"{hook}: hooks are plain functions, not async ones")


def _declared(plugin: object, hook: str, kind: type[_Declared]) -> list[_Declared]:
    function = getattr(plugin, hook, None)
    if function is None:
        return []
    declarations = _within(IMPORT_LIMIT, lambda: list(function()))
    for declaration in declarations:
        if not isinstance(declaration, kind):
            raise TypeError(f"{hook} must return {kind.__name__} declarations, not {type(declaration).__name__}")
    return declarations


def _within(seconds: float, call: Callable[[], _Result]) -> _Result:
    """``call()`` in a thread of its own, so that one that never returns does not hold up the start."""
    outcome: list[_Result] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True, name="plugin-import")
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError
    return outcome[0]


def _drop_ins(directories: Sequence[Path]) -> Iterator[Path]:
    for directory in directories:
        if directory.is_dir():
            yield from sorted(path for path in directory.glob("*.py") if not path.name.startswith("."))


def _unsafe(path: Path) -> str:
    """Why a drop-in's directory must not be trusted: anyone but root and the daemon's user could put files there.

    Whoever may write to a directory above it can put another in its place; where that has the sticky bit only
    the owner of what lies in it can, and that is looked at too.
    """
    directory = Path(os.path.realpath(path.parent))
    for place in (directory, *directory.parents):
        found = place.stat(follow_symlinks=False)
        sticky = found.st_mode & stat.S_ISVTX and place != directory
        if reason := _others_may_write(place, found, ignore_mode=bool(sticky)):
            return reason
    return ""


def _others_may_write(place: Path, found: os.stat_result, *, ignore_mode: bool = False) -> str:
    if found.st_uid not in {0, os.geteuid()}:
        return f"{place} belongs to user {found.st_uid}, neither root nor the daemon's"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not ignore_mode:
        return f"{place} can be written by its group or by everyone"
    return ""


def _read_drop_in(path: Path) -> bytes:
    """The very file that is judged. Raises ``PermissionError`` and ``OSError``."""
    with os.fdopen(open_regular(path), "rb") as file:
        if reason := _others_may_write(path, os.fstat(file.fileno())):
            raise PermissionError(reason)
        return file.read()


def _import_source(path: Path, source: bytes) -> ModuleType:
    """Run what was read; neither is the file opened again nor a compiled one taken from beside it, or left there."""
    module = ModuleType(f"hypersdkd_drop_in_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module
