"""What a daemon that its watchdog is about to end leaves for the next one to tell. It lies in the runtime directory,
in memory: storage that does not answer may be why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from hypersdkd.host.files import write_replacing

_FILE: Final = "last-words"

#: Bytes of them that are read: a line.
_LIMIT: Final = 4096


def leave_words(words: str, environment: Mapping[str, str] = os.environ) -> None:
    """Leave them, in place of those before. Without a runtime directory, or where that is full, they are lost."""
    directory = environment.get("RUNTIME_DIRECTORY")
    if directory:
        with suppress(OSError):
            write_replacing(Path(directory, _FILE), words.encode("utf-8", "replace"))


def take_words(environment: Mapping[str, str] = os.environ) -> str:
    """What was left, once; empty when nothing was."""
    path = Path(environment.get("RUNTIME_DIRECTORY") or os.devnull, _FILE)
    try:
        with path.open("rb") as file:
            words = file.read(_LIMIT)
        path.unlink()
    except OSError:
        return ""
    return words.decode("utf-8", "replace")
