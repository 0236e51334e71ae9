"""QEMU's monitor: its JSON protocol (docs/interop/qmp-spec.txt of QEMU) over a socket that QEMU was started with."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final

from hypersdkd.model.problem import fail

#: Bytes of one message; QEMU's own are far smaller.
_LIMIT: Final = 1 << 20

_PIECE: Final = 64 << 10


class Monitor:
    """The other end of QEMU's monitor. The socket is set to wait for nothing; it stays the caller's to close."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._buffer = b""
        self._events: list[Mapping[str, object]] = []
        self._ready = False

    def events(self) -> Sequence[Mapping[str, object]]:
        """What QEMU told since the last call; empty too while it has not yet greeted, or is gone."""
        while message := self._message():
            self._take(message)
        found, self._events = self._events, []
        return found

    def command(self, name: str, arguments: Mapping[str, object], seconds: float) -> Mapping[str, object]:
        """Have QEMU do something and wait for its answer. Raises ``tool-failed`` and ``tool-timeout``."""
        if not self._ready:
            self._ready = True
            self._ask("qmp_capabilities", {}, seconds)
        return self._ask(name, arguments, seconds)

    def _ask(self, name: str, arguments: Mapping[str, object], seconds: float) -> Mapping[str, object]:
        deadline = time.monotonic() + seconds
        try:
            self._channel.settimeout(seconds)
            self._channel.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
            while (remaining := deadline - time.monotonic()) > 0:
                self._channel.settimeout(remaining)
                message = self._message()
                if message is None:
                    continue
                if "error" in message:
                    raise fail("tool-failed", f"QEMU refused {name}: {str(message['error'])[:300]}")
                if "return" in message:
                    return message
                self._take(message)
        except TimeoutError:
            pass
        except OSError as error:
            raise fail("tool-failed", f"QEMU ended before {name}: {error.strerror}") from error
        finally:
            self._channel.setblocking(False)
        raise fail("tool-timeout", f"QEMU did not answer {name} within {seconds:g} s")

    def _take(self, message: Mapping[str, object]) -> None:
        if "event" in message:
            self._events.append(message)

    def _message(self) -> Mapping[str, object] | None:
        """The next message, if there is one; waits as the socket is set to."""
        while b"\n" not in self._buffer:
            try:
                piece = self._channel.recv(_PIECE)
            except BlockingIOError:
                return None
            if not piece:
                if self._channel.gettimeout():
                    raise fail("tool-failed", "QEMU ended")
                return None
            self._buffer += piece
            if len(self._buffer) > _LIMIT:
                raise fail("tool-failed", "QEMU's monitor said too much")
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise fail("tool-failed", "QEMU's monitor did not speak JSON") from error
        return message if isinstance(message, dict) else {"": None}
