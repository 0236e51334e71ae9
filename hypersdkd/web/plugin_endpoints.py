"""Addresses that plugins answer: looked up at each request, since plugins may be read again while the daemon runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from hypersdkd.spec.service import PluginEndpoints, Workflow
from hypersdkd.spec.types import WELL_KNOWN_PATHS, Request
from hypersdkd.web.endpoint import Endpoint
from hypersdkd.web.traffic import PLUGIN_PATHS, TRAFFIC

#: Where plugins' own addresses are.
_OWN: Final = "/api/plugins/{plugin}/{rest:.+}"


def add_plugin_endpoints(app: web.Application, plugins: PluginEndpoints) -> None:
    """Let plugins answer for ``app``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        """What the plugin replies, or a 404; it never sees a caller's token."""
        endpoint = next((each for each in plugins.all() if each.path == request.path), None)
        if endpoint is None:
            raise web.HTTPNotFound
        asked = Request(
            {key: request.query[key] for key in request.query},
            {key.lower(): request.headers[key] for key in request.headers if key.lower() != "authorization"},
        )
        traffic = request.app[TRAFFIC]
        reply = await plugins.answer(endpoint, asked, traffic)
        return web.Response(body=reply.body, status=reply.status, headers={"Content-Type": reply.content_type})

    app[PLUGIN_PATHS] = lambda: {endpoint.path for endpoint in plugins.all()}
    for path in (*sorted(WELL_KNOWN_PATHS), _OWN):
        app.router.add_get(path, answer, allow_head=False)


def published(plugins: PluginEndpoints) -> Sequence[Endpoint]:
    """Plugins' endpoints as the API's documents show them."""
    return [
        Endpoint(
            "GET",
            endpoint.path,
            endpoint.summary,
            _not_bound,
            "Object" if "application/json" in endpoint.media_types else "Text",
            errors=("plugin-failed",),
            media_types=endpoint.media_types,
            name=endpoint.path.strip("/").replace("/", "_"),
        )
        for endpoint in plugins.all()
    ]


async def _not_bound(workflow: Workflow, request: web.Request) -> web.StreamResponse:
    """Plugins' endpoints are looked up at each request, not bound."""
    raise web.HTTPNotFound
