"""A queue that another daemon works: what may be looked at there, and the one directory that is ours."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.engine.door import Door
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.readiness import Entry, Look, Readiness, Waits
from hypersdkd.host.identity import name_of
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import Receipt

#: Seconds after which a draft is surely not being written any more: the observer that wrote it was killed.
_STALE: Final = 24 * 3600


class ObservedLayout(QueueLayout):
    """The owner's directories are never made; ours is, at the first submission."""

    @property
    def private(self) -> Path:
        """Ours alone: ``.hypersdkd`` belongs to a daemon that works the queue, and may be another's."""
        return self.base / ".hypersdkd-observe"

    @property
    def jobs(self) -> Path:
        """The claims and journals of a hypersdkd that works the queue, if one does; they are read only."""
        return super().private / "jobs"

    def of_hypersdkd(self) -> bool:
        """Whether a hypersdkd works the queue, or did so before."""
        return super().private.is_dir()

    def mend(self) -> None:
        """Nothing: what is missing is the owner's to make."""

    def missing(self) -> list[str]:
        """The queue's directories that are not there."""
        places = (self.drop, self.processing, self.processed, self.failed)
        return [str(place) for place in places if not place.is_dir()]


@dataclass(slots=True)
class OwnersReadiness(Readiness):
    """The owner decides when a file is taken: what it might take is pending, and no file is opened to look."""

    def _waits_for(self, path: Path, entry: Entry, before: Look | None, clock: float) -> Waits:
        return Waits("", None)


class ObserversDoor(Door):
    """The way into another's queue: a file of ours is moved in, and nothing else of the queue is written."""

    def __init__(self, layout: ObservedLayout, taken: Callable[[str], bool], not_for_us: Callable[[str], str]) -> None:
        super().__init__(layout, taken, not_for_us)
        self._ours = layout

    def check(self, name: str) -> Receipt:
        """See ``Door.check``. Makes our own directory; ``queue-unusable`` while the queue cannot be written."""
        receipt = super().check(name)
        layout = self._ours
        if not layout.drop.is_dir():
            remedy = "Start the daemon that works the queue: it makes the directory."
            raise fail("queue-unusable", f"{layout.drop} is not there", remedy=remedy)
        try:
            layout.private.mkdir(mode=0o750, exist_ok=True)
            layout.scratch.mkdir(mode=0o750, exist_ok=True)
            _clear_stale(layout.scratch)
        except OSError as error:
            raise self._refused(f"{layout.private} cannot be made: {error.strerror}") from error
        if not os.access(layout.drop, os.W_OK | os.X_OK, effective_ids=True):
            raise self._refused(f"{layout.drop} cannot be written by user {name_of(os.geteuid())}")
        if layout.drop.stat().st_dev != layout.scratch.stat().st_dev:
            raise fail("queue-split", f"{layout.drop} is not on the file system of {layout.private}")
        return receipt

    def _refused(self, message: str) -> ProblemError:
        remedy = (
            f"Let user {os.geteuid()} write {self._ours.base} and {self._ours.drop}, or submit by the owner's means."
        )
        return fail("queue-unusable", message, remedy=remedy)


def _clear_stale(scratch: Path) -> None:
    """Remove what killed observers left; another may be writing its draft just now."""
    for draft in os.scandir(scratch):
        with suppress(FileNotFoundError):
            if time.time() - draft.stat(follow_symlinks=False).st_mtime > _STALE:
                Path(draft.path).unlink()
