"""FIX: the fixers of all plugins whose concern is asked for, one after the other, then the checks of what they made."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_wishes import concern_options
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.spec.system import FixContext, Fixer, GuestCheck, GuestSystem

#: What a fixer may meet in a guest without failing it: the file is left as it is.
_LEFT_ALONE: Final = "guest-file-unusual"

_Result = TypeVar("_Result")


class FixedGuest(Protocol):
    """A step context whose guest can be changed: what FIX sees of ``engine.step_context``."""

    @property
    def guest(self) -> Guest:
        """What is asked for."""

    @property
    def system(self) -> GuestSystem:
        """The guest's system."""

    @property
    def findings(self) -> Mapping[str, object]:
        """What was found out so far."""

    def changed_by(self, name: str) -> None:
        """Changes from now on are this fixer's; empty: there must be none."""

    def finding(self, key: str, value: object) -> None:
        """A fact for the report."""

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        """A check's result."""

    def warn(self, problem: Problem) -> None:
        """A warning."""

    def log(self, line: str) -> None:
        """One line for the log."""


def fix_guest(
    context: FixedGuest, fixers: Sequence[tuple[str, Fixer]], checks: Sequence[tuple[str, GuestCheck]]
) -> None:
    """Run what applies to the guest, in the order given. Each item has its plugin's name.

    Raises what a fixer or check raises as a ``ProblemError``, ``step-failed`` for anything else, and
    ``guest-check-failed`` when all checks ran and one was not passed.
    """
    facts = context.system.facts
    wanted = [(plugin, fixer) for plugin, fixer in fixers if concern_options(context.guest, fixer.concern) is not None]
    for plugin, fixer in wanted:
        if _contained(plugin, fixer.name, lambda fixer=fixer: fixer.applies(facts)):  # type: ignore[misc]
            context.changed_by(fixer.name)
            _mend(context, plugin, fixer)
    context.changed_by("")
    failed: list[str] = []
    for plugin, check in checks:
        if _contained(plugin, check.name, lambda check=check: check.applies(facts)):  # type: ignore[misc]
            seen = _Context(context, {}, failed)
            _contained(plugin, check.name, lambda check=check, seen=seen: check.check(seen))  # type: ignore[misc]
    if failed:
        raise fail("guest-check-failed", f"the guest did not pass: {'; '.join(failed)}")


def _mend(context: FixedGuest, plugin: str, fixer: Fixer) -> None:
    before = len(context.system.changes)
    seen: FixContext = _Context(context, concern_options(context.guest, fixer.concern) or {})
    try:
        _contained(plugin, fixer.name, lambda: fixer.fix(seen))
    except ProblemError as error:
        if error.problem.code != _LEFT_ALONE:
            raise
        context.warn(error.problem)
    context.log(f"{fixer.name}: {len(context.system.changes) - before} changes")


def _contained(plugin: str, name: str, call: Callable[[], _Result]) -> _Result:
    """What ``call`` returns; anything but a problem that it raises becomes one that names the plugin."""
    try:
        return call()
    except ProblemError:
        raise
    except (Exception, SystemExit) as error:
        message = f"plugin {plugin}, {name}: {type(error).__name__}: {error}"
        raise fail("step-failed", message, detail=traceback.format_exc()) from error


@dataclass
class _Context:
    """Implements ``spec.system.FixContext``. ``failed`` gathers the checks that were not passed."""

    _context: FixedGuest
    options: Mapping[str, object]
    failed: list[str] = field(default_factory=list)

    @property
    def guest(self) -> Guest:
        return self._context.guest

    @property
    def system(self) -> GuestSystem:
        return self._context.system

    @property
    def findings(self) -> Mapping[str, object]:
        return self._context.findings

    def finding(self, key: str, value: object) -> None:
        self._context.finding(key, value)

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        self._context.check(name, passed, detail)
        if not passed:
            self.failed.append(f"{name}{': ' if detail else ''}{detail}")

    def warn(self, problem: Problem) -> None:
        self._context.warn(problem)

    def log(self, line: str) -> None:
        self._context.log(line)
