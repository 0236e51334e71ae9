"""Connections are bounded, must say something, and what is no HTTP gets a reply like any other."""

from __future__ import annotations

import asyncio

import pytest

from hypersdkd.web import connections as module
from hypersdkd.web.access import SECURITY_HEADERS
from tests.web.raw import ask, connect, read_reply


@pytest.mark.parametrize(
    "text",
    [b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n"],
)
async def test_what_is_not_http_gets_a_problem(url, text):
    reader, writer = await connect(url)
    writer.write(text)
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"]) == (400, "request-invalid")
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert {key: reply.headers[key] for key in SECURITY_HEADERS} == SECURITY_HEADERS
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-"])
async def test_who_does_not_ask_is_not_listened_to(url, monkeypatch, sent):
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.05)
    reader, writer = await connect(url)
    writer.write(sent)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_who_has_asked_may_ask_again_later(url, monkeypatch):
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.05)
    reader, writer = await connect(url)
    for pause in (0, 0.1):
        await asyncio.sleep(pause)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await read_reply(reader)).status == 200
    writer.close()
    await writer.wait_closed()


async def test_beyond_the_bound_there_is_a_refusal_and_the_other_listener(url, unix, monkeypatch):
    monkeypatch.setattr(module, "CONNECTIONS", 3)
    held = [await connect(url) for _ in range(3)]
    for _reader, writer in held:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await read_reply(_reader)).status == 200
    reader, writer = await connect(url)
    reply = await read_reply(reader)
    assert (reply.status, reply.json["code"], reply.headers["Retry-After"]) == (503, "request-busy", "1")
    assert await reader.read() == b""
    assert (await ask(unix, "GET", "/healthz")).status == 200
    for _reader, each in (*held, (reader, writer)):
        each.close()
        await each.wait_closed()
    async with asyncio.timeout(20):
        while (await ask(url, "GET", "/healthz")).status != 200:
            await asyncio.sleep(0.001)


async def test_one_address_elsewhere_does_not_take_the_whole_listener(url, monkeypatch):
    monkeypatch.setattr(module, "ADDRESS_CONNECTIONS", 2)
    here = module._peer
    monkeypatch.setattr(module, "_peer", lambda transport: "192.0.2.1")
    held = [await connect(url) for _ in range(2)]
    for reader, writer in held:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await read_reply(reader)).status == 200
    reader, writer = await connect(url)
    assert await reader.read() == b""
    monkeypatch.setattr(module, "_peer", here)
    assert (await ask(url, "GET", "/healthz")).status == 200
    for _reader, each in (*held, (reader, writer)):
        each.close()
        await each.wait_closed()


@pytest.mark.parametrize(
    ("peername", "peer"),
    [
        (("127.0.0.1", 1), ""),
        (("::1", 1, 0, 0), ""),
        ("", ""),
        (None, ""),
        (("192.0.2.1", 1), "192.0.2.1"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1%eth0"),
    ],
)
def test_whose_connection_it_is(peername, peer):
    class Transport(asyncio.Transport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return peername

    assert module._peer(Transport()) == peer
