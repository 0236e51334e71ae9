"""Live changes over HTTP: framed so that nothing in them can break out, resumed, ended with the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from hypersdkd.client.address import parse_address
from hypersdkd.client.http import Daemon
from hypersdkd.web import live

HOSTILE = 'a\n\nevent: reset\ndata: {"x"}\r\u2028\x1b[31m'


def hear(url: str, count: int, last_id: str = "") -> list[tuple[str, str, dict]]:
    stream = Daemon(parse_address(url)).live_events(last_id)
    try:
        return [next(stream) for _ in range(count)]
    finally:
        stream.close()


async def heard(workflow, url: str, count: int, last_id: str = "") -> list[tuple[str, str, dict]]:
    """``count`` changes; what is published comes once somebody listens."""
    listening = asyncio.create_task(asyncio.to_thread(hear, url, count, last_id))
    while not workflow.broadcast._listeners:
        await asyncio.sleep(0.001)
    workflow.broadcast.publish("job", {"id": HOSTILE})
    workflow.broadcast.publish("daemon", {"paused": True})
    return await asyncio.wait_for(listening, 10)


@pytest.mark.parametrize("way", ["url", "unix"])
async def test_changes_come_whole_whatever_is_in_them(url, unix, workflow, way):
    changes = await heard(workflow, {"url": url, "unix": unix}[way], 3)
    assert [kind for _id, kind, _data in changes] == ["reset", "job", "daemon"]
    assert changes[1][2] == {"id": HOSTILE}


async def test_who_was_cut_off_hears_the_rest(url, workflow):
    changes = await heard(workflow, url, 2)
    again = await asyncio.to_thread(hear, url, 1, changes[1][0])
    assert again == [(again[0][0], "daemon", {"paused": True})]
    assert (await asyncio.to_thread(hear, url, 1, "x" * 5000))[0][1] == "reset"


async def test_the_head_is_that_of_a_stream_and_a_heartbeat_keeps_it(url, workflow, monkeypatch):
    monkeypatch.setattr(live, "HEARTBEAT", 0.01)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/workflow/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b"Content-Type: text/event-stream" in head
    assert b"no-store" in head
    await asyncio.wait_for(reader.readuntil(b": alive"), 5)
    writer.close()
    await writer.wait_closed()
    while workflow.broadcast._listeners:
        await asyncio.sleep(0.001)  # who left is noticed by the next write


async def test_the_end_of_the_daemon_ends_the_stream(url, workflow):
    def all_of_it() -> list[tuple[str, str, dict]]:
        return list(Daemon(parse_address(url)).live_events())

    listening = asyncio.create_task(asyncio.to_thread(all_of_it))
    while not workflow.broadcast._listeners:
        await asyncio.sleep(0.001)
    workflow.broadcast.publish("job", {"id": "a"})
    workflow.broadcast.close()
    changes = await asyncio.wait_for(listening, 10)
    assert [json.dumps(data) for _id, _kind, data in changes] == ["{}", '{"id": "a"}']


async def test_one_that_does_not_read_holds_up_nobody_when_it_is_cut_off(url, workflow):
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1)
    writer.write(b"GET /api/workflow/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while not workflow.broadcast._listeners:
        await asyncio.sleep(0.001)
    for _ in range(1000):
        workflow.broadcast.publish("job", {"id": "x" * 20_000})
        await asyncio.sleep(0)
    workflow.broadcast.close()
    async with asyncio.timeout(10):  # the server's end: everything that was sent, then a connection that is cut
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_one_that_is_gone_before_the_head_is_no_error(url, workflow, caplog):
    host, port = url.removeprefix("http://").split(":")
    for _ in range(50):
        _reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/workflow/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writer.transport.abort()
    workflow.broadcast.close()
    assert "request failed" not in caplog.text
