"""Connections: how many there may be, how long one may take for its first request, and what is no HTTP.

On this machine addresses tell nobody apart: the bound is one a listener. Whoever fills the one on loopback still
leaves the unix socket, whose file mode says who may connect. Each address elsewhere has a bound of its own besides.
"""

from __future__ import annotations

import asyncio
import ipaddress
import weakref
from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web

from hypersdkd.model.problem import Problem
from hypersdkd.web.errors import Handler, problem_reply

#: Connections that one listener holds; far below the files that a process may have open.
CONNECTIONS: Final = 256

#: Of these, connections from one address that is not this machine's; a browser opens six.
ADDRESS_CONNECTIONS: Final = 64

#: Seconds in which the head of the first request must be whole.
HEAD_SECONDS: Final = 10.0

#: Seconds between two looks for callers that have not been heard.
_LOOK_AGAIN: Final = 0.01

_log = structlog.get_logger("hypersdkd.web")


class Connection(web.RequestHandler):
    """One connection. ``headers`` go out with replies to what is no request at all."""

    def __init__(self, server: web.Server, gate: Gate, headers: Mapping[str, str], **options: object) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)  # type: ignore[arg-type]
        self._gate = gate
        self._error_headers = headers
        self._until_head: asyncio.TimerHandle | None = None
        self._void_at = asyncio.get_running_loop().time() + HEAD_SECONDS
        self.peer: str | None = None

    @property
    def is_void(self) -> bool:
        """Whether it will never be made: who accepted it is not told when its TLS handshake fails."""
        return self.peer is None and asyncio.get_running_loop().time() > self._void_at

    @property
    def awaits_its_first(self) -> bool:
        """Whether a caller got through to us, and has not been heard yet."""
        return self._until_head is not None or (self.peer is None and not self.is_void)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._until_head = asyncio.get_running_loop().call_later(HEAD_SECONDS, self.force_close)
        self.peer = _peer(transport)
        if self._gate.is_crowded_by(self.peer):
            self.force_close()

    def heard(self) -> None:
        """The head of a request is whole."""
        if self._until_head is not None:
            self._until_head.cancel()
            self._until_head = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for another."""
        self.heard()
        self._gate.left(self)
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The reply where there is no request for the application, or where it failed itself."""
        if request.writer.output_size > 0:
            raise ConnectionError("the reply has begun already")
        if status >= 500:
            _log.error("request failed", exc_info=exc)
            reply = problem_reply(Problem("internal", "An unexpected error; the daemon's log has it."))
        else:
            reply = problem_reply(Problem("request-invalid", "The request is not one of HTTP/1.1."), status=status)
        reply.headers.update(self._error_headers)
        reply.force_close()
        return reply


class Gate:
    """The protocol factory of one listener: a connection while there is room, else a refusal."""

    def __init__(self, server: web.Server, headers: Mapping[str, str], options: Mapping[str, object]) -> None:
        self._server = server
        self._headers = headers
        self._options = options
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a connection that was just accepted."""
        if len(self._open) >= CONNECTIONS:
            self._open -= {each for each in self._open if each.is_void}
        if len(self._open) >= CONNECTIONS:
            return _Refusal()
        connection = Connection(self._server, self, self._headers, **self._options)
        self._open.add(connection)
        return connection

    async def hear_out(self, seconds: float) -> None:
        """Wait until all that got through have been heard, so that none is turned away; so long at the most."""
        until = asyncio.get_running_loop().time() + seconds
        while any(each.awaits_its_first for each in self._open):
            if asyncio.get_running_loop().time() > until:
                return
            await asyncio.sleep(_LOOK_AGAIN)

    def is_crowded_by(self, peer: str) -> bool:
        """Whether an address, empty for this machine's, holds more than its share."""
        return bool(peer) and sum(each.peer == peer for each in self._open) > ADDRESS_CONNECTIONS

    def left(self, connection: Connection) -> None:
        """A connection has ended."""
        self._open.discard(connection)


def _peer(transport: asyncio.BaseTransport) -> str:
    """The address of the other side; empty for this machine's, and for a unix socket's."""
    name = transport.get_extra_info("peername")
    host = str(name[0]) if isinstance(name, tuple) else ""
    return "" if host and ipaddress.ip_address(host).is_loopback else host


class _Refusal(asyncio.Protocol):
    """Says that there is no room, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        reply = problem_reply(Problem("request-busy", f"{CONNECTIONS} connections are open already"), status=503)
        body = (reply.text or "").encode("ascii")
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode("ascii") + body)
        transport.close()


def hang_up(transport: asyncio.Transport | None) -> None:
    """End a connection at once. One of TLS that is being closed ends soon, and asyncio cannot abort it."""
    if transport is not None and not transport.is_closing():
        transport.abort()


@web.middleware
async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the connection that a request has come; the outermost."""
    if isinstance(request.protocol, Connection):
        request.protocol.heard()
    return await handler(request)
