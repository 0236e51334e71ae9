"""Endpoints of the daemon as a whole: status, queue, pause, resume, and the two probes."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from hypersdkd.model.problem import fail
from hypersdkd.spec.service import Workflow
from hypersdkd.web.conditional import has_it, not_modified, tag_of, tagged
from hypersdkd.web.errors import json_reply, large_reply
from hypersdkd.web.request import queue_limit

#: Fields of the status whose change is no news.
_ALWAYS_NEW: Final = frozenset({"uptime_seconds", "disk"})


async def status(workflow: Workflow, request: web.Request) -> web.Response:
    """The daemon and its queue in numbers; 304 if nothing of it changed but uptime and free space."""
    fields = await workflow.status()
    tag = tag_of({key: value for key, value in fields.items() if key not in _ALWAYS_NEW})
    return not_modified(tag) if has_it(request, tag) else tagged(json_reply(fields), tag)


async def queue(workflow: Workflow, request: web.Request) -> web.Response:
    """The drop directory as it is seen now."""
    return await large_reply(request, (await workflow.queue(queue_limit(request))).as_dict)


async def pause(workflow: Workflow, request: web.Request) -> web.Response:
    """Start nothing more."""
    await workflow.pause()
    return json_reply({"success": True, "paused": True}, status=202)


async def resume(workflow: Workflow, request: web.Request) -> web.Response:
    """Go on after a pause."""
    await workflow.resume()
    return json_reply({"success": True, "paused": False}, status=202)


async def healthy(workflow: Workflow, request: web.Request) -> web.Response:
    """The event loop turns; nothing else is looked at."""
    return json_reply({"status": "ok"})


async def ready(workflow: Workflow, request: web.Request) -> web.Response:
    """Whether the daemon takes work; ``not-ready`` says why it does not."""
    reason = workflow.ready()
    if reason:
        raise fail("not-ready", reason)
    return json_reply({"status": "ok"})
