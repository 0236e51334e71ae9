"""Telling systemd how the service is (sd_notify), and taking the sockets that it made (sd_listen_fds).

Does nothing when there is no supervisor that asked to be told, or made any.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

import sdnotify

#: Characters of a STATUS text that are sent; systemd takes 4096 bytes in one message, a person one line.
STATUS_LIMIT: Final = 500

#: The first descriptor that a supervisor hands over, sd_listen_fds(3).
_FIRST_FD: Final = 3

#: Seconds that a message may wait for room in systemd's queue before it is given up.
SEND_TIMEOUT: Final = 1.0


class Notifier:
    """The service's side of sd_notify. Every method returns whether systemd has the message.

    Nothing is raised: a service that cannot say how it is must still do its work.
    """

    def __init__(self) -> None:
        self._notifier: sdnotify.SystemdNotifier | None = None
        if os.environ.get("NOTIFY_SOCKET"):
            try:
                # With debug it raises instead of hiding that nothing was sent.
                self._notifier = sdnotify.SystemdNotifier(debug=True)
                self._notifier.socket.settimeout(SEND_TIMEOUT)
            except OSError:
                self._notifier = None

    def ready(self, status: str = "") -> bool:
        """The start, or a reload, is done."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line of text for ``systemctl status``, in any language."""
        return self._send(*_status(text or " "))

    def watchdog(self) -> bool:
        """The service is alive and gets on with its work; to be said every :func:`watchdog_interval`."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """The service is on its way down."""
        return self._send("STOPPING=1", *_status(status))

    def reloading(self) -> bool:
        """A reload begins; :meth:`ready` ends it. systemd wants the monotonic time with it."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def extend_timeout(self, seconds: float) -> bool:
        """Starting or stopping is allowed this much time from now, whatever the unit's limit says."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Let the socket go; whatever is said later reaches nobody."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    def _send(self, *lines: str) -> bool:
        if self._notifier is None:
            return False
        # sdnotify encodes as Latin-1. Characters that stand for the bytes of the UTF-8 pass through it whole.
        message = "\n".join(lines).encode("utf-8", "replace").decode("latin-1")
        try:
            self._notifier.notify(message)
        except OSError:
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    """The STATUS line of ``text``; a line break in it would forge a message of its own."""
    line = "".join(character if character.isprintable() else " " for character in text[:STATUS_LIMIT])
    return (f"STATUS={line}",) if text else ()


def watchdog_interval() -> float | None:
    """Seconds between signs of life that keep the unit's WatchdogSec content (half of it, as systemd advises).

    ``None`` when there is no watchdog, or it is meant for another process.
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    process = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdigit() or int(microseconds) == 0 or process != str(os.getpid()):
        return None
    return int(microseconds) / 2_000_000


def take_sockets(name: str, environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The sockets that the supervisor made for this process under ``name`` (``FileDescriptorName=``), in its order,
    which varies. Others are closed. What told of them is removed from ``environment``: children have no such sockets.

    Raises ``OSError`` for a descriptor that is no socket.
    """
    told = {key: environment.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES")}
    if told["PID"] != str(os.getpid()) or not told["FDS"].isdigit():
        return []
    names = told["FDNAMES"].split(":")
    taken = []
    for number in range(int(told["FDS"])):
        fd = _FIRST_FD + number
        if number < len(names) and names[number] == name:
            os.set_inheritable(fd, False)
            taken.append(socket.socket(fileno=fd))
        else:
            os.close(fd)
    return taken
