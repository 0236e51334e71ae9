"""What became of each plugin. One record a plugin, shown by status, API and command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hypersdkd.model.problem import Problem


class PluginState(StrEnum):
    """The five things that can become of a plugin."""

    LOADED = "loaded"
    """In use."""
    DISABLED = "disabled"
    """Named in ``plugins.disabled``; never imported."""
    REFUSED = "refused"
    """Not imported: its file is unsafe, or its name is taken."""
    BROKEN = "broken"
    """Raised on import or declared something impossible; nothing of it is in use."""
    FAULTY = "faulty"
    """In use, but a hook of it raised or did not return in time."""


@dataclass(slots=True)
class PluginRecord:
    """One plugin. ``source`` is its entry point or its file; ``hooks`` are the names it implements."""

    name: str
    source: str
    state: PluginState = PluginState.LOADED
    version: str = ""
    hooks: tuple[str, ...] = ()
    problem: Problem | None = None
    errors: int = field(default=0)

    @property
    def usable(self) -> bool:
        """Whether its declarations and hooks are in use."""
        return self.state in {PluginState.LOADED, PluginState.FAULTY}

    def blame(self, state: PluginState, message: str, detail: str = "") -> None:
        """Record what went wrong."""
        self.state = state
        self.errors += 1
        self.problem = Problem("plugin-failed", f"plugin {self.name}: {message}", detail)

    def as_dict(self) -> dict[str, object]:
        """The JSON shape."""
        return {
            "name": self.name,
            "source": self.source,
            "state": self.state.value,
            "version": self.version,
            "hooks": list(self.hooks),
            "errors": self.errors,
            "problem": self.problem.as_dict() if self.problem else None,
        }
