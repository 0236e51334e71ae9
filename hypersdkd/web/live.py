"""Live changes as server-sent events (the HTML standard's ``text/event-stream``)."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from aiohttp import web

from hypersdkd.model.change import Change
from hypersdkd.spec.service import Workflow

#: Seconds without a change after which a comment shows that the connection lives; proxies close after 30 to 60.
HEARTBEAT: Final = 15.0

#: Milliseconds after which a browser comes back when it was cut off.
RETRY: Final = 1000

#: Longest ``Last-Event-ID`` that is looked at; ours have at most 28 characters.
_ID_LIMIT: Final = 64


async def live_events(workflow: Workflow, request: web.Request) -> web.StreamResponse:
    """Every change until the client goes or the daemon stops; ``Last-Event-ID`` resumes."""
    last_id = request.headers.get("Last-Event-ID", "") or request.query.get("last_event_id", "")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    with workflow.listen(last_id[:_ID_LIMIT]) as listener:
        await response.prepare(request)
        try:
            await response.write(b"retry: %d\n\n" % RETRY)
            while True:
                try:
                    change = await asyncio.wait_for(listener.next(), HEARTBEAT)
                except TimeoutError:
                    await response.write(b": alive\n\n")
                    continue
                if change is None:
                    break
                await response.write(_frame(change))
            await response.write_eof()
        except ConnectionError:
            pass  # the client went
    return response


def _frame(change: Change) -> bytes:
    """One event; its data is one line of ASCII JSON, so that nothing in it can end the event."""
    text = json.dumps(change.data, allow_nan=False)
    return f"id: {change.id}\nevent: {change.kind}\ndata: {text}\n\n".encode("ascii")
