"""Replies about the daemon as a whole."""

from __future__ import annotations

from tests.web.fake import STARTED
from tests.web.raw import ask


async def test_status(url):
    reply = await ask(url, "GET", "/api/workflow/status?x=1", headers={"Accept": "text/html"})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert (reply.json["mode"], reply.json["running"], reply.json["uptime_seconds"]) == ("manifest", True, 60)


async def test_queue(url):
    reply = await ask(url, "GET", "/api/workflow/queue")
    entry = {"name": "half.json", "reason": "still being written", "size": 10, "since": STARTED}
    assert reply.json == {
        "pending": [],
        "waiting": [entry],
        "ignored": [],
        "foreign": [],
        "counts": {"to_be_processed": 1},
        "left_out": {},
    }


async def test_pause_and_resume(url, workflow):
    reply = await ask(url, "POST", "/api/workflow/pause")
    assert (reply.status, reply.json) == (202, {"success": True, "paused": True})
    reply = await ask(url, "POST", "/api/workflow/resume", b"a body that nobody reads")
    assert (reply.status, reply.json) == (202, {"success": True, "paused": False})
    assert workflow.calls == [("pause",), ("resume",)]


async def test_probes(url, workflow):
    workflow.error = RuntimeError("busy")
    assert (await ask(url, "GET", "/healthz")).json == {"status": "ok"}
    assert (await ask(url, "GET", "/readyz")).json == {"status": "ok"}
    workflow.not_ready = "draining"
    reply = await ask(url, "GET", "/readyz")
    assert (reply.status, reply.json["code"], reply.json["detail"]) == (503, "not-ready", "draining")
