"""Entries with fields of their own for the system's journal, in its native protocol (systemd.journal-fields(7))."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: Where journald listens.
SOCKET: Final = Path("/run/systemd/journal/socket")


def send(fields: Mapping[str, str], journal: Path = SOCKET) -> bool:
    """Write an entry; false if the journal did not take it: it is not there, busy, or the entry is too large for it.

    Names of fields are upper-case letters, digits and underscores; values are any text.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(b"".join(_field(name, text) for name, text in fields.items()), os.fspath(journal))
        except OSError:
            return False
    return True


def _field(name: str, text: str) -> bytes:
    """With its length where a line would not do, so that no text can be taken for another field."""
    value = text.encode("utf-8", "backslashreplace")
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode("ascii"), value)
    return b"%s\n%s%s\n" % (name.encode("ascii"), struct.pack("<Q", len(value)), value)
