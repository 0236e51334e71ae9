"""Job IDs from file names, which may be anything."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

#: Longest file name in bytes, limits.h.
NAME_MAX: Final = 255

#: Longest ID in bytes; leaves room for ``.report.json`` and a suffix below the 255 bytes of a name.
MAX_ID_BYTES: Final = 200

#: Longest suffix in bytes that is kept at the end of an ID.
_MAX_SUFFIX: Final = 16


def job_id(name: str, taken: Callable[[str], bool]) -> str:
    """The ID of a job dropped as ``name``: the name itself wherever that can be.

    A name that is not UTF-8, holds control characters or is too long is cut and cleaned and gets a hash of
    the whole name; a name that is ``taken`` gets ``-2``, ``-3``, ... before its suffix.
    """
    plain = _plain(name)
    if not taken(plain):
        return plain
    suffix = PurePosixPath(plain).suffix
    if len(suffix.encode()) > _MAX_SUFFIX:
        suffix = ""
    start, number = _cut(plain.removesuffix(suffix), 16 + len(suffix.encode())), 2
    while taken(candidate := f"{start}-{number}{suffix}"):
        number += 1
    return candidate


def _plain(name: str) -> str:
    raw = os.fsencode(name)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text.strip(".") and text.isprintable() and len(raw) <= MAX_ID_BYTES:
        return text
    suffix = PurePosixPath(name).suffix
    suffix = suffix if suffix.isascii() and suffix.isprintable() and len(suffix) <= 8 else ""
    shown = raw.decode("utf-8", "replace").removesuffix(suffix)
    cleaned = "".join(letter if letter.isprintable() else "_" for letter in shown)
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return f"{_cut(cleaned, 32)}-{digest}{suffix}"


def _cut(text: str, room: int) -> str:
    """``text`` in at most ``MAX_ID_BYTES - room`` bytes of UTF-8, at a character's edge."""
    return text.encode()[: MAX_ID_BYTES - room].decode("utf-8", "ignore")


def file_name_for_display(name: str) -> str:
    """A file name as harmless text: what is no printable character becomes an escape."""
    if name.isprintable():  # so are almost all, and surrogates are not
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
