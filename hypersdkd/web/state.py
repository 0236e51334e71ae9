"""Endpoints of the daemon as a whole: status, queue, pause, resume, and the two probes."""

from __future__ import annotations

from aiohttp import web

from hypersdkd.model.problem import fail
from hypersdkd.spec.service import Workflow
from hypersdkd.web.errors import json_reply, large_reply
from hypersdkd.web.request import queue_limit


async def status(workflow: Workflow, request: web.Request) -> web.Response:
    """The daemon and its queue in numbers."""
    return json_reply(await workflow.status())


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
