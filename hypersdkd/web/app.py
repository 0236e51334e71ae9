"""The aiohttp application, and how it is served."""

from __future__ import annotations

import asyncio
import contextlib
import html
import posixpath
import socket
import ssl
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

from aiohttp import web

from hypersdkd.model.role import Role
from hypersdkd.spec.service import PluginEndpoints, Workflow
from hypersdkd.web.access import SECURITY_HEADERS, audit, guard, security_headers
from hypersdkd.web.admission import ADMISSION, Admission
from hypersdkd.web.authentication import ROLES, authenticate
from hypersdkd.web.connections import HEAD_SECONDS, Gate, heard
from hypersdkd.web.endpoint import Answer, Endpoint
from hypersdkd.web.endpoints import ENDPOINTS
from hypersdkd.web.errors import ENCODER, Handler, errors
from hypersdkd.web.openapi import PUBLISHED
from hypersdkd.web.page import PAGE_ROUTES, add_page
from hypersdkd.web.plugin_endpoints import add_plugin_endpoints, published
from hypersdkd.web.request import BODIES, BODY_LIMIT, Bodies
from hypersdkd.web.sockets import BACKLOG, address_of, check_inherited, open_listeners
from hypersdkd.web.traffic import PLUGIN_PATHS, TRAFFIC, counted

#: Seconds that an idle connection is kept; nginx's default, above the poll interval of every client.
KEEPALIVE_SECONDS: Final = 75.0

#: Seconds in which the rest of a refused body is read and dropped, so that its sender sees the reply
#: instead of a reset. aiohttp's default is 10.
LINGER_SECONDS: Final = 2.0

#: Seconds that running requests get to end when the server stops. They only read memory or write one file.
SHUTDOWN_SECONDS: Final = 5.0


#: Seconds in which callers that got through before the server stops have to say what they want: a connection whose
#: request is on its way is as good as one that is being answered.
FIRST_WORD_SECONDS: Final = 1.0

#: Seconds that a client has to answer the end of a TLS connection.
TLS_END_SECONDS: Final = 2.0


class _TlsOptions(TypedDict, total=False):
    ssl: ssl.SSLContext
    ssl_handshake_timeout: float
    ssl_shutdown_timeout: float


def make_app(
    workflow: Workflow,
    plugins: PluginEndpoints | None = None,
    *,
    endpoints: Sequence[Endpoint] = ENDPOINTS,
    admission: Admission | None = None,
) -> web.Application:
    """The application that answers whom ``admission`` lets in: for ``workflow``, and by ``plugins`` for theirs."""
    middlewares = [heard, counted, audit, errors, authenticate, guard, _tidy_path]
    app = web.Application(client_max_size=BODY_LIMIT, middlewares=middlewares)
    app[ADMISSION] = admission or Admission()
    app[ROLES] = {
        **{(endpoint.method, endpoint.path): endpoint.needed for endpoint in endpoints},
        **{(method, route): Role.ANYONE for method in ("GET", "HEAD") for route in PAGE_ROUTES},
    }
    app[TRAFFIC], app[PLUGIN_PATHS] = Counter(), tuple
    app[BODIES] = Bodies()
    app[ENCODER] = ThreadPoolExecutor(1, "encoder")
    app.on_cleanup.append(_end_encoder)
    app.on_response_prepare.append(security_headers)
    app[PUBLISHED] = lambda: (*endpoints, *(published(plugins) if plugins is not None else ()))
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.route, _bind(endpoint.answer, workflow))
    if plugins is not None:
        add_plugin_endpoints(app, plugins)
    add_page(app)
    return app


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``addresses`` are those it really listens on, as clients write them."""

    addresses: tuple[str, ...]
    runner: web.AppRunner
    listening: tuple[asyncio.Server, ...]
    gates: tuple[Gate, ...]
    socket_file: tuple[Path, int] | None

    async def stop(self) -> None:
        """Answer what is running, then close; the unix socket's file goes unless another took its place."""
        loop = asyncio.get_running_loop()
        for listener in (listener for server in self.listening for listener in server.sockets):
            loop.remove_reader(listener.fileno())
        # A server that is closed drops what it has accepted and not made a connection of, which takes it two rounds.
        for _ in range(3):
            await asyncio.sleep(0)
        for server in self.listening:
            server.close()
        await asyncio.gather(*(gate.hear_out(FIRST_WORD_SECONDS) for gate in self.gates))
        await self.runner.cleanup()
        if self.socket_file is not None:
            path, inode = self.socket_file
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_ino == inode:
                    path.unlink()


async def serve(
    app: web.Application,
    *,
    listen: Sequence[str] = (),
    socket_path: Path | None = None,
    inherited: Sequence[socket.socket] = (),
) -> Server:
    """Serve ``app`` on each address of ``listen``, on a unix socket, and on sockets opened by others.

    Other machines may call only where the application's admission asks for tokens and TLS. With TLS every TCP address
    speaks it, the unix socket never. Raises ``address-unsafe`` or ``address-unavailable`` before anything is served.
    """
    admission = app[ADMISSION]
    for listener in inherited:
        check_inherited(listener, anywhere=admission.beyond_loopback)
    listeners = [*inherited, *open_listeners(listen, socket_path, anywhere=admission.beyond_loopback)]
    # handle_signals: the daemon's own business.
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    assert runner.server is not None
    # auto_decompress: a small body must not become a large one.
    options = {
        "access_log": None,
        "auto_decompress": False,
        "keepalive_timeout": KEEPALIVE_SECONDS,
        "lingering_time": LINGER_SECONDS,
    }
    loop = asyncio.get_running_loop()
    gates = [(listener, Gate(runner.server, SECURITY_HEADERS, options)) for listener in listeners]
    listening = [
        await loop.create_server(gate, sock=listener, backlog=BACKLOG, **_tls_options(listener, admission))
        for listener, gate in gates
    ]
    socket_file = (socket_path, socket_path.lstat().st_ino) if socket_path is not None else None
    secure = admission.tls is not None
    addresses = tuple(address_of(listener, secure=secure) for listener in listeners)
    return Server(addresses, runner, tuple(listening), tuple(gate for _, gate in gates), socket_file)


def _tls_options(listener: socket.socket, admission: Admission) -> _TlsOptions:
    if admission.tls is None or listener.family == socket.AF_UNIX:
        return {}
    return {"ssl": admission.tls, "ssl_handshake_timeout": HEAD_SECONDS, "ssl_shutdown_timeout": TLS_END_SECONDS}


async def _end_encoder(app: web.Application) -> None:
    app[ENCODER].shutdown(wait=False, cancel_futures=True)


def _bind(answer: Answer, workflow: Workflow) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(workflow, request)

    return handle


@web.middleware
async def _tidy_path(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Redirect ``//``, ``/./`` and ``/../`` to the clean path, as Go's router does."""
    path = request.rel_url.raw_path
    if isinstance(request.match_info.http_exception, web.HTTPNotFound):
        clean = "/" + posixpath.normpath(path).lstrip("/")
        clean += "/" if path.endswith("/") and clean != "/" else ""
        if clean != path:
            query = request.rel_url.raw_query_string
            target = f"{clean}?{query}" if query else clean
            body = f'<a href="{html.escape(target)}">Moved Permanently</a>.\n\n'
            raise web.HTTPMovedPermanently(target, text=body, content_type="text/html")
    return await handler(request)
