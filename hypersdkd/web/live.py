"""Live changes as server-sent events (the HTML standard's ``text/event-stream``)."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from aiohttp import web

from hypersdkd.model.change import Change
from hypersdkd.spec.service import Workflow
from hypersdkd.web.connections import hang_up

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
        try:
            await response.prepare(request)
            writer = _Writer(request, response)
            listener.when_cut_off(writer.hang_up)
            await writer.write(b"retry: %d\n\n" % RETRY)
            while True:
                try:
                    change = await asyncio.wait_for(listener.next(), HEARTBEAT)
                except TimeoutError:
                    await writer.write(b": alive\n\n")
                    continue
                if change is None:
                    break
                await writer.write(_frame(change))
            await response.write_eof()
        except ConnectionError:
            pass  # the client went, or did not read
    return response


class _Writer:
    """Writes to a client that may not read: it is hung up on when that takes too long, or when it is cut off."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._writing = False

    async def write(self, data: bytes) -> None:
        """Raises ``ConnectionError`` when the client is gone."""
        self._writing = True
        try:
            async with asyncio.timeout(HEARTBEAT):
                await self._response.write(data)
        except TimeoutError:
            self.hang_up()
            raise ConnectionAbortedError from None
        finally:
            self._writing = False

    def hang_up(self) -> None:
        """End a connection that a write waits for."""
        if self._writing:
            hang_up(self._request.transport)


def _frame(change: Change) -> bytes:
    """One event; its data is one line of ASCII JSON, so that nothing in it can end the event."""
    text = json.dumps(change.data, allow_nan=False)
    return f"id: {change.id}\nevent: {change.kind}\ndata: {text}\n\n".encode("ascii")
