"""Moves of a job's companions: the files that its own file needs beside it. They go where it goes, under their names.

Before each move it is recorded that it will be made, and a move that was begun can be made again: what has gone
already is passed over, and no name is ever replaced. They go by way of the job's own directory, as its file does, and
all of them have left it before that enters ``processing/``. Every call here blocks.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from hypersdkd.engine.claims import Claim, ClaimStore
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.host.files import rename_together, sync_directory

#: What the directory of a job's companions is called among the ended jobs: the job's file and this.
COMPANIONS: Final = ".companions"


class GroupMoves:
    """Moves companions; of the spool, and only called by it."""

    def __init__(self, layout: QueueLayout, claims: ClaimStore) -> None:
        self._layout = layout
        self._claims = claims

    def take(self, claim: Claim) -> None:
        """Out of the drop directory. One that has gone meanwhile is missing, which LOAD will say."""
        if claim.companions:
            held = self._claims.companions(claim.id)
            held.mkdir(mode=0o750, exist_ok=True)
            sync_directory(held.parent)
            rename_together(self._layout.drop, held, claim.companions)

    def enter(self, claim: Claim) -> None:
        """Into ``processing/``. ``FileExistsError`` while another's file of such a name lies there."""
        held = self._claims.companions(claim.id)
        if not claim.companions or not held.is_dir():
            return
        left = rename_together(held, self._layout.processing, claim.companions)
        if left:
            raise FileExistsError(f"processing/{left[0]} is there already, and {claim.id} needs a file of that name")
        held.rmdir()

    def lay_by(self, claim: Claim, ended: Path) -> None:
        """To the ended jobs, into a directory beside what the job's file will be there, ``ended``."""
        if claim.companions:
            directory = beside(ended)
            directory.mkdir(mode=0o775, exist_ok=True)
            rename_together(self._layout.processing, directory, claim.companions)
            sync_directory(directory.parent)
            _remove_empty(directory)

    def take_back(self, claim: Claim, ended: Path) -> None:
        """Undo :meth:`lay_by`: another daemon's file has that name among the ended jobs."""
        if claim.companions and beside(ended).is_dir():
            rename_together(beside(ended), self._layout.processing, claim.companions)
            _remove_empty(beside(ended))

    def bring_back(self, ended: Path) -> None:
        """Into the drop directory. Where a newer file of such a name waits there, that one is used, and the old one
        stays where it is."""
        directory = beside(ended)
        if directory.is_dir() and not directory.is_symlink():
            with os.scandir(directory) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
            rename_together(directory, self._layout.drop, names)
            _remove_empty(directory)


def beside(ended: Path) -> Path:
    """The directory of the companions of the ended job whose file is ``ended``."""
    return ended.with_name(ended.name + COMPANIONS)


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # something is in it, which is not ours to remove
        directory.rmdir()
