"""A reload: the configuration's file and the plugins are read again, judged as a whole, and put in force or not at all.

Reading and judging happen in a thread, for plugins are imported; putting in force happens in one go in the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from hypersdkd.engine import logs
from hypersdkd.engine.config import ConfigInvalidError, LoadedConfig, Settings
from hypersdkd.engine.config_in_force import changed_keys, is_live
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.preflight import judge
from hypersdkd.engine.queue_parts import QueueParts
from hypersdkd.engine.working import load_plugins
from hypersdkd.model.problem import Problem, ProblemError, fail


class Adaptable(Protocol):
    """Work that can go on under other settings."""

    @property
    def parts(self) -> QueueParts:
        """What tells of the queue."""

    def adapt(self, settings: Settings, plugins: Plugins) -> None:
        """Go on under ``settings`` and with ``plugins``: quickly, in the loop, and without fail."""


class Reload:
    """Reads again what ``read`` finds. Await it in one task only."""

    def __init__(
        self,
        work: Adaptable,
        read: Callable[[], LoadedConfig],
        on_plugins: Callable[[Plugins], None] = lambda _plugins: None,
    ) -> None:
        """``on_plugins`` is called in the loop when others have taken over."""
        self._work = work
        self._read = read
        self._on_plugins = on_plugins
        self._log = structlog.get_logger()

    async def __call__(self) -> None:
        """Read, judge, and put in force what is good and can change live. Never raises for what is read."""
        try:
            loaded, plugins, warnings = await asyncio.to_thread(self._judged)
        except ConfigInvalidError as error:
            self._refuse(error.problems)
        except ProblemError as error:
            self._refuse([error.problem])
        except Exception as error:
            self._log.exception("the configuration cannot be read again")
            self._refuse([Problem("internal", f"the configuration cannot be read again: {error}")])
        else:
            logs.warn_of(warnings)
            self._put_in_force(loaded, plugins)

    def _judged(self) -> tuple[LoadedConfig, Plugins, Sequence[Problem]]:
        """What a start would take now, and its warnings. Raises ``ProblemError`` where a start would. Blocks."""
        loaded, path = self._read(), self._work.parts.config.path
        if loaded.path is None and path is not None:
            remedy = "Put the file back, be it empty, or restart the daemon to go on with the defaults."
            raise fail("config-missing", f"{path} is not there any more", remedy=remedy)
        plugins = load_plugins(loaded, self._work.parts.calls.plugins)
        return loaded, plugins, [*loaded.warnings, *judge(loaded, plugins)]

    def _refuse(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            self._log.error(
                "the configuration is not reloaded", error=problem.message, path=problem.path, remedy=problem.remedy
            )
        self._work.parts.config.refuse(problems)
        self._work.parts.announcer.switched(reloaded=False)

    def _put_in_force(self, loaded: LoadedConfig, plugins: Plugins) -> None:
        config = self._work.parts.config
        before = config.settings
        config.accept(loaded)
        self._work.adapt(config.settings, plugins)
        self._on_plugins(plugins)
        if config.settings.logging != before.logging:
            logs.set_up(config.settings.logging.level, config.settings.logging.format)
        changed = [key for key in changed_keys(before, config.settings) if is_live(key)]
        usable = sum(record.usable for record in plugins.records)
        self._log.info("reloaded", changed=changed, plugins=usable)
        if config.needs_restart:
            self._log.warning("some changes need a restart", keys=list(config.needs_restart))
        self._work.parts.announcer.switched(reloaded=True)
