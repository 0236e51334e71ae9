"""The application and its server: routing, paths, starting and stopping."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import pytest

from hypersdkd.model.problem import ProblemError
from hypersdkd.web.app import make_app, serve
from hypersdkd.web.endpoints import ENDPOINTS
from tests.web.raw import ask


async def test_addresses_are_those_bound(url, unix, tmp_path):
    assert url.startswith("http://127.0.0.1:") and not url.endswith(":0")
    assert unix == f"unix:{tmp_path}/api.sock"
    for address in (url, unix):
        assert (await ask(address, "GET", "/healthz")).json == {"status": "ok"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_wrong_methods(url, workflow, endpoint):
    allowed = {each.method for each in ENDPOINTS if each.path == endpoint.path}
    path = endpoint.path.replace("{id}", "web01.json").replace("{n}", "0")
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"} - allowed:
        reply = await ask(url, method, path)
        assert (reply.status, reply.headers["Allow"]) == (405, ", ".join(sorted(allowed))), method
        if method == "HEAD":
            assert reply.body == b""
        else:
            assert (reply.json["detail"], reply.json["code"]) == ("Method not allowed", "method-not-allowed")
    assert workflow.calls == []


@pytest.mark.parametrize("path", ["/api", "/api/workflow/status/", "/api/workflow/jobs/", "/healthz/", "/%2e%2e"])
async def test_unknown_paths(url, path):
    reply = await ask(url, "GET", path)
    assert (reply.status, reply.json["code"], reply.json["detail"]) == (404, "not-found", "404 page not found")
    assert reply.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/api//workflow/status", "/api/workflow/status"),
        ("/api/./workflow/../workflow/status?x=1", "/api/workflow/status?x=1"),
        ("//evil.example/x", "/evil.example/x"),
        ("//", "/"),
        ("/a//b/", "/a/b/"),
    ],
)
async def test_paths_are_cleaned_by_a_redirect(url, path, clean):
    reply = await ask(url, "GET", path)
    assert (reply.status, reply.headers["Location"]) == (301, clean)


async def test_a_redirect_cannot_carry_markup(url):
    reply = await ask(url, "GET", '/x//"><script>')
    assert reply.status == 301
    assert b"<script>" not in reply.body


async def test_the_socket_file_is_private_and_goes_with_the_server(workflow, tmp_path):
    path = tmp_path / "s"
    server = await serve(make_app(workflow), socket_path=path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    await server.stop()
    assert not path.exists()


async def test_stopping_leaves_the_socket_file_of_a_successor(workflow, tmp_path):
    path = tmp_path / "s"
    server = await serve(make_app(workflow), socket_path=path)
    os.rename(path, tmp_path / "old")
    path.write_text("another's")
    await server.stop()
    assert path.exists()


async def test_an_inherited_socket_is_served(workflow):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = await serve(make_app(workflow), inherited=[listener])
        assert (await ask(server.addresses[0], "GET", "/healthz")).status == 200
        await server.stop()


async def test_who_got_through_before_the_stop_is_answered(workflow, monkeypatch):
    monkeypatch.setattr("hypersdkd.web.app.FIRST_WORD_SECONDS", 10.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = await serve(make_app(workflow), inherited=[listener])
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        while not server.runner.server.connections:
            await asyncio.sleep(0)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        await stopping
        writer.close()
        await writer.wait_closed()


async def test_who_says_nothing_does_not_hold_the_stop_up(workflow, monkeypatch):
    monkeypatch.setattr("hypersdkd.web.app.FIRST_WORD_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = await serve(make_app(workflow), inherited=[listener])
        reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        while not server.runner.server.connections:
            await asyncio.sleep(0)
        await asyncio.wait_for(server.stop(), 5)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_an_inherited_socket_must_be_local(workflow):
    with socket.create_server(("0.0.0.0", 0)) as listener, pytest.raises(ProblemError) as caught:
        await serve(make_app(workflow), inherited=[listener])
    assert caught.value.problem.code == "address-unsafe"
