"""Who may ask: this machine's users, and no foreign web page that a browser on it shows.

A page elsewhere can reach a loopback address in two ways. It lets its own name resolve to 127.0.0.1 (DNS
rebinding): then ``Host`` is its name. Or it posts across origins: then ``Origin`` is not ours.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

import structlog
from aiohttp import web
from yarl import URL

from hypersdkd.model.problem import fail
from hypersdkd.web.errors import Handler

_log = structlog.get_logger("hypersdkd.audit")

#: Sent with every reply. Replies are data: nothing in them may load, run, be framed or be kept. The page's own
#: files (``web/page.py``) come with a policy and a cache rule of theirs.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Server": "hypersdkd",
}

#: Methods that change nothing, so that the audit log leaves them out.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: ``struct ucred`` of Linux: pid, uid, gid.
_UCRED: Final = struct.Struct("3i")


async def security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A ``on_response_prepare`` signal that adds :data:`SECURITY_HEADERS`, save those that the reply brings along."""
    for name, value in SECURITY_HEADERS.items():
        if name == "Server" or name not in response.headers:  # aiohttp has put its own name there
            response.headers[name] = value


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse (``request-refused``) a request of a foreign page.

    ``Origin`` does not matter where nothing is done anyway: a preflight gets its 405.
    """
    host = request.headers.get("Host", "")
    if not by_unix_socket(request) and not is_loopback_host(host):
        raise fail("request-refused", "The request's Host is not this daemon's.")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"http://{host}".lower() and not request.match_info.http_exception:
        raise fail("request-refused", "The request comes from a page of another origin.")
    return await handler(request)


@web.middleware
async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One log line for each call that may change something, refused ones too."""
    if request.method in SAFE_METHODS:
        return await handler(request)
    response = await handler(request)
    _log.info("audit", who=caller(request), method=request.method, path=request.raw_path, status=response.status)
    return response


def is_loopback_host(host: str) -> bool:
    """Whether a ``Host`` header is ``localhost`` or a loopback address, with any port.

    The port is left out on purpose: a forwarded port (``ssh -L``) is another one, and a page elsewhere
    cannot make a browser send a loopback address as the name of its site.
    """
    try:
        name = URL(f"http://{host}").host if host and not set(host) & set("/?#@\\") else None
    except ValueError:
        return False
    if name is None:
        return False
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def by_unix_socket(request: web.Request) -> bool:
    """Whether the request came by a unix socket, whose file mode decided who may connect."""
    connection = _socket(request)
    return connection is not None and connection.family == socket.AF_UNIX


def caller(request: web.Request) -> str:
    """Who asks, for the audit log: ``uid=N`` by a unix socket, else the address."""
    connection = _socket(request)
    if connection is None:
        return "gone"
    if connection.family == socket.AF_UNIX:
        _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return f"uid={uid}"
    return request.remote or "unknown"


def key_space(request: web.Request) -> str:
    """Whose Idempotency-Keys a request speaks of: each user's by the unix socket are its own, by TCP all share."""
    return caller(request) if by_unix_socket(request) else "tcp"


def _socket(request: web.Request) -> socket.socket | None:
    transport = request.transport
    return transport.get_extra_info("socket") if transport else None
