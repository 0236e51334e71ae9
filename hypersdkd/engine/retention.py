"""Retention: how long the daemon's own notes on ended jobs are kept, and what else of them is cleared away.

Nothing but ``.hypersdkd/jobs/ID`` of an ended job is ever removed, and what its guests worked with; the files and
records in ``processed/`` and ``failed/`` are the users'. A directory is first renamed away, in the spool's thread
and after another look at its claim: so no retry can come in between, and a kill leaves a job's notes whole or gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from hypersdkd.engine.claims import ClaimState
from hypersdkd.engine.config import RetentionSettings
from hypersdkd.engine.guest_files import LOCK, WORK
from hypersdkd.engine.workshop import Workshop
from hypersdkd.host.files import is_locked, remove_tree

#: Seconds between two looks; a limit in days needs no more.
_INTERVAL: Final = 3600.0

#: Jobs that are looked at, or renamed away, in one go; some ms, for which the spool's moves may have to wait.
_SLICE: Final = 50

_DAY: Final = 86_400 * 10**9

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, order=True)
class _EndedJob:
    """``written`` is when its claim last changed, in nanoseconds; ``leftovers`` are its guests' work directories."""

    written: int
    id: str
    leftovers: tuple[Path, ...] = ()


class Retention:
    """Runs in the daemon's loop. ``limits`` may be replaced at any time by :meth:`keep`."""

    def __init__(self, shop: Workshop, limits: RetentionSettings) -> None:
        self._shop = shop
        self._claims = shop.spool.claims
        self._limits = limits
        self._wake = asyncio.Event()
        self._log = structlog.get_logger()

    def keep(self, limits: RetentionSettings) -> None:
        """Other limits from now on."""
        self._limits = limits
        self._wake.set()

    async def run(self) -> None:
        """Look at once, at each change of the limits, and every hour; until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.sweep()
            except Exception as error:  # what is not cleared away now can wait; the daemon cannot
                known = isinstance(error, OSError)
                self._log.error("ended jobs cannot be cleared away", error=str(error), exc_info=not known)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL):
                    await self._wake.wait()

    async def sweep(self) -> None:
        """Remove what is beyond the limits, and work directories that killed workers left. Raises ``OSError``."""
        names = await asyncio.to_thread(os.listdir, self._shop.spool.layout.jobs)
        ended: list[_EndedJob] = []
        for some in _slices(names):
            ended += await asyncio.to_thread(self._ended, some)
        kept, expired = self._judge(ended)
        forgotten = await self._remove([(job, self._claims.directory(job.id)) for job in expired])
        cleared = await self._remove([(job, work) for job in kept for work in job.leftovers])
        if forgotten or cleared:
            self._log.info("cleared up after ended jobs", forgotten=forgotten, kept=len(kept), work_directories=cleared)

    def _ended(self, names: Iterable[str]) -> list[_EndedJob]:
        found = []
        for name in names:
            claim = self._claims.read(name)
            written = self._claims.written(name)
            if claim is not None and claim.state is ClaimState.FINISHED and written is not None:
                works = [guest / WORK for guest in self._claims.guest_directories(name)]
                found.append(_EndedJob(written, name, tuple(work for work in works if os.path.lexists(work))))
        return found

    def _judge(self, ended: Iterable[_EndedJob]) -> tuple[list[_EndedJob], list[_EndedJob]]:
        """Those that are kept, and those that are not, the oldest first."""
        newest_first = sorted(ended, reverse=True)
        days, jobs = self._limits.days, self._limits.jobs
        count = len(newest_first) if jobs is None else jobs
        since = 0 if days is None else time.time_ns() - days * _DAY
        kept = [job for job in newest_first[:count] if job.written >= since]
        return kept, newest_first[len(kept) :][::-1]

    async def _remove(self, directories: Sequence[tuple[_EndedJob, Path]]) -> int:
        """Rename them away, then remove them outside the spool's thread, for that may take long; how many went."""
        count = 0
        for some in _slices(directories):
            for place in await self._shop.in_disk_thread(partial(self._set_aside, some)):
                count += 1
                await asyncio.to_thread(_remove_aside, place)
        return count

    def _set_aside(self, directories: Sequence[tuple[_EndedJob, Path]]) -> list[Path]:
        """Blocks; only in the spool's thread, in which a claim does not change between the look and the rename.

        Not synced: after a power cut a directory is there again, for the next look, or it is not.
        """
        aside = []
        for job, directory in directories:
            place = self._shop.spool.layout.scratch / f"ended-{os.urandom(8).hex()}"
            try:
                if self._is_still(job):
                    directory.rename(place)
                    aside.append(place)
            except OSError as error:  # the others can go all the same
                self._log.warning("cannot be cleared away", directory=str(directory), error=error.strerror)
        return aside

    def _is_still(self, job: _EndedJob) -> bool:
        """Whether the job is as it was seen, and no worker of it is left."""
        claim = self._claims.read(job.id)
        if claim is None or claim.state is not ClaimState.FINISHED or self._claims.written(job.id) != job.written:
            return False
        if os.path.lexists(self._claims.companions(job.id)):  # users' files, which nothing here may remove
            return False
        return not any(is_locked(guest / LOCK) for guest in self._claims.guest_directories(job.id))


def _slices(items: Sequence[_Item]) -> Iterable[Sequence[_Item]]:
    return (items[start : start + _SLICE] for start in range(0, len(items), _SLICE))


def _remove_aside(place: Path) -> None:
    with contextlib.suppress(OSError):  # then the next start clears it with the other drafts
        if place.is_symlink():
            place.unlink()
        else:
            remove_tree(place)
