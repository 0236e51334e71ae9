"""Foreign pages stay out, this machine's users get in, and what they change is written down."""

from __future__ import annotations

import os

import pytest
from structlog.testing import capture_logs

from hypersdkd.web.app import make_app, serve
from tests.web.raw import ask

PAUSE = "/api/workflow/pause"


@pytest.mark.parametrize("host", ["evil.example", ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_foreign_host_is_refused(url, workflow, host, method):
    path = PAUSE if method == "POST" else "/api/workflow/status"
    reply = await ask(url, method, path, headers={"Host": host})
    assert (reply.status, reply.json["code"]) == (403, "request-refused")
    assert workflow.calls == []


async def test_a_request_without_a_host_is_refused(url, workflow):
    assert (await ask(url, "POST", PAUSE, headers={"Host": None})).status == 400
    assert workflow.calls == []


async def test_by_the_unix_socket_the_host_does_not_matter(unix):
    assert (await ask(unix, "POST", PAUSE, headers={"Host": "anything"})).status == 202


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "https://{host}", ""])
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/workflow/status"), ("POST", PAUSE)])
async def test_a_foreign_origin_is_refused(url, unix, workflow, origin, method, path):
    for address in (url, unix):
        origin = origin.format(host=address.removeprefix("http://"))
        reply = await ask(address, method, path, headers={"Origin": origin})
        assert (reply.status, reply.json["code"]) == (403, "request-refused")
    assert workflow.calls == []


async def test_the_own_origin_is_fine_also_by_a_forwarded_port(url):
    for host in (url.removeprefix("http://"), "localhost:9090"):
        reply = await ask(url, "POST", PAUSE, headers={"Host": host, "Origin": f"http://{host}"})
        assert reply.status == 202


async def test_a_preflight_gets_no_permission(url):
    reply = await ask(url, "OPTIONS", PAUSE, headers={"Origin": "http://evil.example"})
    assert reply.status == 405
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/api/workflow/status", "/nothing", "/api//workflow/status", PAUSE])
async def test_every_reply_has_the_security_headers(url, path):
    headers = (await ask(url, "GET", path)).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "hypersdkd"


async def test_the_audit_log_has_one_line_a_change_and_none_a_look(workflow, tmp_path):
    with capture_logs() as lines:
        server = await serve(make_app(workflow), listen=["127.0.0.1:0"], socket_path=tmp_path / "s")
        tcp, unix = server.addresses
        await ask(tcp, "GET", "/api/workflow/status")
        await ask(unix, "POST", PAUSE)
        await ask(tcp, "POST", "/api/workflow/jobs/a%0Ab/cancel")
        await ask(tcp, "POST", PAUSE, headers={"Origin": "http://evil.example"})
        await server.stop()
    assert [(line["event"], line["who"], line["method"], line["path"], line["status"]) for line in lines] == [
        ("audit", f"uid={os.getuid()}", "POST", PAUSE, 202),
        ("audit", "127.0.0.1", "POST", "/api/workflow/jobs/a%0Ab/cancel", 404),
        ("audit", "127.0.0.1", "POST", PAUSE, 403),
    ]
