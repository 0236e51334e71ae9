"""The sockets that the API listens on: loopback unless more is allowed, and a unix socket that never replaces a
living one."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hypersdkd.model.problem import ProblemError, fail

#: Connections the kernel may hold before they are accepted; it is what asyncio and aiohttp use, doubled.
BACKLOG: Final = 256

#: Read and write for the daemon's user and group.
SOCKET_MODE: Final = 0o660

#: Where no TCP is allowed: the unit's sandbox, whose sockets come from systemd, or did not because a port was taken.
_BY_SYSTEMD: Final = (
    "Under systemd see `systemctl status hypersdkd.socket` for what keeps it from listening: stop what has the port, "
    "or change ListenStream=. Elsewhere change api.listen."
)


def parse_listen(text: str, *, anywhere: bool = False) -> tuple[str, int]:
    """``127.0.0.1:8080``, ``[::1]:8080`` or ``localhost:8080`` as address and port (0: any free one).

    Raises ``address-unsafe`` for what is no address and, unless ``anywhere``, for any that is not loopback.
    """
    name, separator, port = text.rpartition(":")
    name = "127.0.0.1" if name == "localhost" else name.removeprefix("[").removesuffix("]")
    if not separator or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise fail("address-unsafe", f"{text!r} is not of the form ADDRESS:PORT")
    try:
        loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        raise fail("address-unsafe", f"{text!r} names no IP address") from None
    if not loopback and not anywhere:
        raise fail("address-unsafe", f"{text!r} is not a loopback address")
    return name, int(port)


def open_listeners(listen: Sequence[str], path: Path | None, *, anywhere: bool = False) -> list[socket.socket]:
    """Bound sockets, not yet listening, for each address of ``listen`` and for the unix socket ``path``.

    All or none: raises ``address-unsafe`` or ``address-unavailable`` and leaves nothing open.
    """
    addresses = [parse_listen(text, anywhere=anywhere) for text in listen]
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(_bind_tcp(address, port)) for address, port in addresses]
        if path is not None:
            sockets.append(opened.enter_context(_bind_unix(path)))
        opened.pop_all()
    return sockets


def check_inherited(listener: socket.socket, *, anywhere: bool = False) -> None:
    """Refuse (``address-unsafe``) a socket from outside (socket activation) that is not local, unless ``anywhere``."""
    if listener.family == socket.AF_UNIX or anywhere:
        return
    address = str(listener.getsockname()[0])
    if not ipaddress.ip_address(address).is_loopback:
        raise fail("address-unsafe", f"The inherited socket listens on {address}, which is not loopback")


def address_of(listener: socket.socket, *, secure: bool = False) -> str:
    """The address of a bound socket as clients write it: ``http://127.0.0.1:8080`` (``secure``: ``https``) or
    ``unix:/run/x``."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    host = f"[{name[0]}]" if listener.family == socket.AF_INET6 else name[0]
    return f"{'https' if secure else 'http'}://{host}:{name[1]}"


def _bind_tcp(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _unavailable(f"{address}:{port}", error, _BY_SYSTEMD) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] must not stand for every IPv4 address too: who lists both could not bind the second.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        # A port in use is found out here, not after other parts of the daemon have started.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _unavailable(f"{address}:{port}", error) from error
    return listener


def _bind_unix(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(os.fspath(path))
        # Nobody can connect before listen(), so there is no moment with a wider mode.
        path.chmod(SOCKET_MODE)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _unavailable(str(path), error) from error
    except ProblemError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket file that a former daemon left. Never one that is answered, and never another file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise fail("address-unavailable", f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        result = probe.connect_ex(os.fspath(path))
    if result != errno.ECONNREFUSED:
        raise fail("address-unavailable", f"Another process answers on {path}")
    path.unlink()


def _unavailable(address: str, error: OSError, remedy: str = "") -> ProblemError:
    return fail("address-unavailable", f"Cannot listen on {address}: {error.strerror or error}", remedy=remedy)
