"""HTTP by hand, so that a test can send what a well-behaved client would not."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


async def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str | None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One exchange. ``path`` goes out as it is; a header of ``None`` is not sent."""
    reader, writer = await connect(address, tls)
    fields: dict[str, str | None] = {"Host": address.partition("//")[2] or "x", "Connection": "close"}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items() if value is not None)]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
    try:
        reply = await read_reply(reader, bodiless=method == "HEAD")
        await reader.read()  # until the server has closed: nothing of the request is left there
        return reply
    finally:
        writer.close()
        await writer.wait_closed()


async def connect(address: str, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to ``http://HOST:PORT``, the same with ``https`` and ``tls``, or ``unix:PATH``."""
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(Path(address.removeprefix("unix:")))
    host, _, port = address.partition("//")[2].rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)


async def read_reply(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Reply:
    """The next reply of a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    bodiless = bodiless or status.split()[1] == "304"
    length = 0 if bodiless else int(headers["Content-Length"])
    return Reply(int(status.split()[1]), headers, await reader.readexactly(length))
