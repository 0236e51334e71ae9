"""How a reload went, for whoever asked for it and waits: systemd 252 knows no other way than a command that waits.

Who asks makes a socket in the service's runtime directory, which only its user can enter, and sends SIGHUP; the daemon
answers all sockets there once it has read what was to be read after the last SIGHUP.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAME: Final = "reload-{}.sock"

#: Problems of an answer, and characters of each; the log has them whole. A character takes six bytes at the most.
_LINES: Final = 20
_LINE: Final = 500
_ANSWER: Final = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """What was wrong, each in a line, or what is to be known of the configuration that is in force now."""

    problems: Sequence[str]
    note: str = ""


def answer(environment: Mapping[str, str], given: Answer) -> None:
    """Tell everybody who waits in the runtime directory (``RUNTIME_DIRECTORY``), if there is one."""
    directory = environment.get("RUNTIME_DIRECTORY", "")
    if not directory:
        return
    problems = [line[:_LINE] for line in given.problems[:_LINES]]
    said = json.dumps({"problems": problems, "note": given.note[:_LINE]}).encode("ascii")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for waiting in Path(directory).glob(_NAME.format("*")):
            with contextlib.suppress(OSError):  # it has gone, or was killed and left its socket
                sender.sendto(said, os.fspath(waiting))


def ask(daemon: int, directory: Path) -> Answer:
    """Have ``daemon`` reload, and wait for its answer. Raises ``OSError`` where it is not there, or ends meanwhile."""
    place = directory / _NAME.format(os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        place.unlink(missing_ok=True)
        receiver.bind(os.fspath(place))
        alive = os.pidfd_open(daemon)
        try:
            signal.pidfd_send_signal(alive, signal.SIGHUP)
            ready, _, _ = select.select([receiver.fileno(), alive], [], [])
            if receiver.fileno() not in ready:
                raise ProcessLookupError("the daemon ended")
            said = json.loads(receiver.recv(_ANSWER))
        finally:
            os.close(alive)
            place.unlink(missing_ok=True)
    return Answer([str(line) for line in said["problems"]], str(said["note"]))
