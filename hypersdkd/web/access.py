"""Who asks, and whether a foreign web page does it through them: ``Host`` and ``Origin``, the headers that every
reply has, and the audit log. Names are judged in ``web/hosts``, tokens in ``web/authentication``.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

import structlog
from aiohttp import web

from hypersdkd.model.problem import fail
from hypersdkd.web.admission import ADMISSION
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

#: The name of the token that a request came in by.
TOKEN_NAME: Final = web.RequestKey("token_name", str)

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
    host, names = request.headers.get("Host", ""), request.app[ADMISSION].names
    if not by_unix_socket(request) and not names.are_ours(host, _local_address(request)):
        raise fail("request-refused", "The request's Host is not this daemon's.")
    origin = request.headers.get("Origin")
    ours = origin is None or names.are_origins(origin, host, secure=request.secure)
    if not ours and not request.match_info.http_exception:
        raise fail("request-refused", "The request comes from a page of another origin.")
    return await handler(request)


@web.middleware
async def audit(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One log line for each call that may change something, refused ones too; save those of strangers, who could fill
    the log otherwise: where tokens are in force, ``web/authentication`` tells of them."""
    response = await handler(request)
    if request.method in SAFE_METHODS or _is_stranger(request):
        return response
    line = {"who": caller(request), "method": request.method, "path": logged_path(request), "status": response.status}
    if TOKEN_NAME in request:
        line["address"] = peer(request)
    _log.info("audit", **line)
    return response


def _is_stranger(request: web.Request) -> bool:
    asked = request.app[ADMISSION].tokens is not None
    return asked and TOKEN_NAME not in request and not by_unix_socket(request)


def by_unix_socket(request: web.Request) -> bool:
    """Whether the request came by a unix socket, whose file mode decided who may connect."""
    connection = _socket(request)
    return connection is not None and connection.family == socket.AF_UNIX


def caller(request: web.Request) -> str:
    """Who asks, for the audit log: ``uid=N`` by a unix socket, ``token=NAME``, else the address."""
    connection = _socket(request)
    if connection is not None and connection.family == socket.AF_UNIX:
        _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        return f"uid={uid}"
    token = request.get(TOKEN_NAME)
    return f"token={token}" if token else peer(request)


def peer(request: web.Request) -> str:
    """The address that a request by TCP comes from."""
    return request.remote or "unknown" if _socket(request) is not None else "gone"


def logged_path(request: web.Request) -> str:
    """The path and query for a log; without the query where somebody put a token there, as RFC 6750 (2.3) has it."""
    return request.rel_url.raw_path if "access_token" in request.query else request.raw_path


def key_space(request: web.Request) -> str:
    """Whose Idempotency-Keys a request speaks of: each user's by the unix socket and each token's are its own, by TCP
    without tokens all share."""
    return caller(request) if by_unix_socket(request) or TOKEN_NAME in request else "tcp"


def _local_address(request: web.Request) -> str:
    """The address of ours that a request by TCP came in at."""
    connection = _socket(request)
    return str(connection.getsockname()[0]) if connection is not None else ""


def _socket(request: web.Request) -> socket.socket | None:
    transport = request.transport
    return transport.get_extra_info("socket") if transport else None
