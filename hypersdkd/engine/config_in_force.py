"""The configuration in force, what has changed in its file since, and what of a change can be put in force live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import BaseModel

from hypersdkd.engine.config import LoadedConfig, Settings
from hypersdkd.model.moment import now
from hypersdkd.model.problem import Problem

#: Groups all of whose keys are put in force by a reload, and keys of other groups that are.
LIVE_GROUPS: Final = ("retention", "maps", "plugins", "logging")
LIVE_WORKFLOW: Final = ("max_workers", "poll_interval", "settle_seconds", "max_attempts", "drain_seconds")

#: Keys that a summary names; there may be many.
_NAMED: Final = 5


class ConfigInForce:
    """One daemon's settings, and how its file stands to them. Only the loop changes it."""

    def __init__(self, started: LoadedConfig) -> None:
        self._started = started
        self.settings = started.settings
        self.path = started.path
        self.loaded_at = now()
        self.problems: tuple[Problem, ...] = ()
        """What was wrong with the file when it was last read; it is not in force then."""
        self.needs_restart: tuple[str, ...] = ()
        """Keys whose new values wait for a restart."""

    def accept(self, loaded: LoadedConfig) -> None:
        """Of ``loaded`` all that can change live is in force now."""
        self.needs_restart = tuple(
            key for key in changed_keys(self._started.written, loaded.written) if not is_live(key)
        )
        self.settings = merged(self.settings, loaded.settings)
        self.path = loaded.path
        self.loaded_at = now()
        self.problems = ()

    def refuse(self, problems: Sequence[Problem]) -> None:
        """The file has errors: all stays as it was."""
        self.problems = tuple(problems)

    def summary(self) -> str:
        """What an operator should know of it, in a few words; empty when the file is in force as it is."""
        if self.problems:
            first = self.problems[0]
            more = f" and {len(self.problems) - 1} more" if len(self.problems) > 1 else ""
            place = f"{first.path}: " if first.path else ""
            return f"configuration not reloaded: {place}{first.message}{more}"
        return f"restart to apply {_some(self.needs_restart)}" if self.needs_restart else ""

    def as_dict(self) -> Mapping[str, object]:
        """The JSON shape."""
        return {
            "path": str(self.path) if self.path else None,
            "loaded_at": self.loaded_at,
            "problems": [problem.as_dict() for problem in self.problems],
            "needs_restart": list(self.needs_restart),
        }


def is_live(key: str) -> bool:
    """Whether a reload puts a key's new value in force."""
    group, _, name = key.partition(".")
    return group in LIVE_GROUPS or (group == "workflow" and name in LIVE_WORKFLOW)


def merged(old: Settings, new: Settings) -> Settings:
    """``old`` with those values of ``new`` that can change live."""
    workflow = old.workflow.model_copy(update={name: getattr(new.workflow, name) for name in LIVE_WORKFLOW})
    return old.model_copy(update={"workflow": workflow, **{name: getattr(new, name) for name in LIVE_GROUPS}})


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """Keys with different values, as paths; of a plugin's own settings the plugin's key."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]


def _leaves(group: BaseModel, at: str = "") -> Iterator[tuple[str, object]]:
    for name, value in group:  # with the keys of plugins
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
