"""Files of the drop directory that belong together are one job: who leads whom, and what that makes of each.

A *lead* is a file that needs others beside it (:mod:`hypersdkd.host.companions`): a job config its disks, an OVF its
files, a snapshot its parent, a descriptor its extents. What it needs may need others in turn; all of them are its
companions, and only the file that no other needs becomes a job. Two leads may need the same file: both are ready, the
one that is claimed first takes it, and the other then waits for it. Files that need each other lead nobody: each
is a job of its own, which LOAD refuses.

Nothing here looks at files. A change costs as much as the groups that it touches are large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.readiness import Entry, Verdict
from hypersdkd.host.companions import ALONE, Companion, Needs
from hypersdkd.model.job import DOCUMENT_SUFFIXES

_STRAY: Final = "an extent of a split disk; its descriptor is not here"


class Grouping:
    """What each entry was judged to be by itself, and what it is among the others. Loop only."""

    def __init__(self, busy: Callable[[str], bool]) -> None:
        """``busy``: whether a file of that name lies in ``processing/``."""
        self._busy = busy
        self._own: dict[str, Entry] = {}
        self._needed_by: dict[str, set[str]] = {}

    # -- changes ----------------------------------------------------------------------------------

    def changed(self, entries: Iterable[tuple[str, Entry | None]]) -> dict[str, Entry | None]:
        """Take note of judgements (``None``: gone). All entries that are affected, as they are now."""
        result: dict[str, Entry | None] = {}
        affected: set[str] = set()
        for name, entry in entries:
            result[name] = None
            before = self._own.get(name)
            if before is not None and entry is not None and alike(before, entry):
                self._own[name] = entry
                affected.add(name)
                continue
            if before is not None:
                affected.update(self._below(name))
                self._link(name, before.needs, linked=False)
                del self._own[name]
            if entry is not None:
                self._own[name] = entry
                self._link(name, entry.needs, linked=True)
                affected.update(self._below(name))
            affected.add(name)
            affected.update(self._above(name))
        return result | self._now(affected)

    def freed(self, name: str) -> dict[str, Entry | None]:
        """A file of that name came to ``processing/`` or left it: the entries that are affected, as they are now."""
        return self._now(self._above(name))

    def _now(self, names: Iterable[str]) -> dict[str, Entry | None]:
        return {name: self._among_others(name, self._own[name]) for name in names if name in self._own}

    def _link(self, name: str, needs: Needs, *, linked: bool) -> None:
        for companion in needs.companions:
            leads = self._needed_by.setdefault(companion.name, set())
            if linked:
                leads.add(name)
            else:
                leads.discard(name)
            if not leads:
                del self._needed_by[companion.name]

    # -- what belongs together --------------------------------------------------------------------

    def companions(self, lead: str, *, shared: bool = True) -> list[str]:
        """The files that go with a lead, those that it needs directly first. Without ``shared`` only those that no
        other lead needs."""
        if self._is_in_a_circle(lead):
            return []
        found = [name for name in self._below(lead) if name in self._own and self._own[name].movable]
        if shared:
            return found
        own = {lead, *found}
        return [name for name in found if self._above(name) <= own]

    def entries(self, names: Iterable[str]) -> list[tuple[str, Entry]]:
        """What each of ``names`` was judged to be by itself; those that are not there are left out."""
        return [(name, self._own[name]) for name in names if name in self._own]

    def _below(self, name: str) -> dict[str, Companion]:
        """All that a file needs, directly or not, whether it is there or not, in the order in which it is named."""
        found: dict[str, Companion] = {}
        ahead = [name]
        for at in ahead:
            for companion in self._needs(at).companions:
                if companion.name not in found:
                    found[companion.name] = companion
                    ahead.append(companion.name)
        return found

    def _above(self, name: str) -> set[str]:
        """All files that need it, directly or not."""
        found: set[str] = set()
        ahead = [name]
        while ahead:
            leads = self._needed_by.get(ahead.pop(), set()) - found
            found |= leads
            ahead += leads
        return found

    def _needs(self, name: str) -> Needs:
        entry = self._own.get(name)
        return ALONE if entry is None or not entry.movable else entry.needs

    def _is_in_a_circle(self, name: str) -> bool:
        return bool(self._needs(name).companions) and name in self._below(name)

    def _lead_of(self, name: str) -> str | None:
        """The file that needs it; of several the first by name. None of those that it needs itself."""
        leads = self._needed_by.get(name)
        if not leads:
            return None
        below = self._below(name)
        direct = [lead for lead in leads if lead not in below]
        return min(direct or self._above(name) - below.keys() - {name}, default=None)

    # -- what that makes of each ------------------------------------------------------------------

    def _among_others(self, name: str, own: Entry) -> Entry:
        lead = self._lead_of(name) if own.movable else None
        if lead is not None:
            return _held(own, f"belongs to {file_name_for_display(lead)}")
        if own.verdict is Verdict.IGNORED:
            return own
        if own.needs.extent:
            return _held(own, _STRAY)
        if own.is_cut or not own.quiet:
            return own
        lacking = self._lacking(name)  # said sooner than that it settles, which passes by itself
        return _held(own, lacking) if lacking else own

    def _lacking(self, lead: str) -> str:
        """Why a lead has to wait for others."""
        if self._is_in_a_circle(lead):
            return ""
        is_document = PurePosixPath(lead.lower()).suffix in DOCUMENT_SUFFIXES
        reasons = (self._lacks(companion, is_document) for companion in self._below(lead).values())
        return next(filter(None, reasons), "")

    def _lacks(self, companion: Companion, of_document: bool) -> str:
        """Why one companion cannot go along now."""
        shown, entry = file_name_for_display(companion.name), self._own.get(companion.name)
        if companion.optional and (entry is None or not entry.movable):
            return ""
        if entry is None:
            return f"{shown} is not here" + (
                ", one of that name is in processing/" if self._busy(companion.name) else ""
            )
        if reason := _unfinished(entry, companion):
            return f"{shown}: {reason}"
        if self._busy(companion.name):
            return f"one of the name {shown} is still in processing/"
        # nothing leads a document; any other lead may itself belong to a file that comes next
        return "" if entry.settled or of_document else f"{shown}: {entry.reason or 'settling'}"


def alike(before: Entry, now: Entry | None) -> bool:
    """Whether nothing has changed that other entries go by."""
    return now is not None and _standing(before) == _standing(now)


def _standing(entry: Entry) -> tuple[object, ...]:
    at = (entry.verdict, entry.reason, entry.size, entry.movable, entry.quiet, entry.settled)
    return (*at, entry.is_cut, entry.needs)


def _held(own: Entry, reason: str) -> Entry:
    """Waiting for others; for itself too unless it would be ready."""
    return replace(own, verdict=Verdict.WAITING, reason=reason, held=own.quiet and own.settled and not own.is_cut)


def _unfinished(entry: Entry, companion: Companion) -> str:
    """Why a file that is there cannot go along yet. Where its size is known its content need not tell its end."""
    if not entry.movable:
        return entry.reason
    if not entry.quiet:
        return entry.reason if entry.verdict is Verdict.WAITING else "it is still being written"
    if companion.least:
        missing = entry.size < companion.least
        return f"it has {entry.size} of {companion.least} bytes" if missing else ""
    return entry.look.reason if entry.look is not None and entry.is_cut else ""
