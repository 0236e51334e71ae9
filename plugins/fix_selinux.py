"""FIX: files that were made in a guest with SELinux get the labels that its policy has for them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import ProblemError
from hypersdkd.spec.fixing import text_of
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer, GuestSystem, is_linux

_TYPE: Final = re.compile(r"^[ \t]*SELINUXTYPE[ \t]*=[ \t]*([a-z][\w-]*)[ \t]*$", re.MULTILINE)
_SETFILES: Final = ("/usr/sbin/setfiles", "/sbin/setfiles")


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it as the last: it labels what all others made."""
    return (Fixer("selinux", "selinux", fix_selinux, applies=_applies, order=950),)


def _applies(facts: GuestFacts) -> bool:
    return is_linux(facts) and facts.selinux in {"enforcing", "permissive"}


def fix_selinux(context: FixContext) -> None:
    """Label the new files alone; where the guest's own tool cannot, the guest labels all of them when it starts."""
    system = context.system
    made = [
        change.path for change in system.changes if change.before is None and change.action in {"written", "linked"}
    ]
    made = [path for path in dict.fromkeys(made) if system.kind(path)]
    if not made:
        return
    match = _TYPE.search(text_of(context, "/etc/selinux/config") or "")
    tool = next((path for path in _SETFILES if system.kind(path)), "")
    if match and tool:
        rules = f"/etc/selinux/{match.group(1)}/contexts/files/file_contexts"
        try:
            system.run([tool, "-F", rules, *_with_new_directories(system, made)])
            context.log(f"{len(made)} new files were labelled")
            return
        except ProblemError as error:
            if error.problem.code != "guest-command-failed":
                raise
            context.log(f"{tool}: {error.problem.message}")
    system.write("/.autorelabel", b"-F\n")


def _with_new_directories(system: GuestSystem, made: Sequence[str]) -> list[str]:
    """The files, and the directories that hold nothing else: those were made for them."""
    places = dict.fromkeys(posixpath.dirname(path) for path in made)
    new = [place for place in places if all(f"{place}/{name}" in made for name in system.names(place))]
    return [*new, *made]
