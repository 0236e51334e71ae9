"""How many replies the API has given: by route, method and status, so that their number of kinds is bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from aiohttp import hdrs, web

from hypersdkd.web.errors import Handler

#: The route of requests that nothing is bound to.
UNMATCHED: Final = "unmatched"

#: The method of requests whose method is none of HTTP's.
OTHER: Final = "other"

#: Replies so far, by route (an address of the API, with its braces), method and HTTP status.
TRAFFIC: Final[web.AppKey[Counter[tuple[str, str, int]]]] = web.AppKey("traffic", Counter)

#: Tells the addresses that plugins answer now: their route in the router stands for all of them.
PLUGIN_PATHS: Final[web.AppKey[Callable[[], Collection[str]]]] = web.AppKey("plugin_paths")


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count each reply when it has ended; one that never does, such as live events, when its client goes."""
    response = await handler(request)
    method = request.method if request.method in hdrs.METH_ALL else OTHER
    request.app[TRAFFIC][_route(request), method, response.status] += 1
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    if resource is None:
        return UNMATCHED
    return request.path if request.path in request.app[PLUGIN_PATHS]() else resource.canonical
