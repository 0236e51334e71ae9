"""The page at ``/web/dashboard/``: a fixed set of files, read once, answered from memory.

A name in a path is only ever looked up among the files of ``static/``, so there is nothing to climb out of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from aiohttp import web

from hypersdkd.web.conditional import has_it

#: Where the page is; HyperSDK's own address of it.
PAGE: Final = "/web/dashboard/"

#: The routes of its files, after those that lead to it.
PAGE_ROUTES: Final = ("/", PAGE.rstrip("/"), PAGE, PAGE + "{name}")

#: The file that the address itself shows.
INDEX: Final = "index.html"

#: Media types of the files that are served; another suffix in ``static/`` is not.
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

#: The page may load its own files and call its own daemon: no inline code, no other site, no frame around it,
#: and no text of a guest or a file can become markup (trusted types). ``no-cache``: kept, but asked about each time.
PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page: its media type, its bytes, and the ETag that changes with them."""

    media_type: str
    body: bytes
    etag: str


def page_files() -> Mapping[str, PageFile]:
    """The files of the page by name."""
    found: dict[str, PageFile] = {}
    for entry in files("hypersdkd.web").joinpath("static").iterdir():
        media_type = _MEDIA_TYPES.get(PurePosixPath(entry.name).suffix)
        if media_type is not None and entry.is_file():
            body = entry.read_bytes()
            found[entry.name] = PageFile(media_type, body, hashlib.sha256(body).hexdigest()[:32])
    return found


def add_page(app: web.Application) -> None:
    """Serve the page with ``app``."""
    known = page_files()

    async def answer(request: web.Request) -> web.StreamResponse:
        """A file of the page; 304 where the browser has it already."""
        file = known.get(request.match_info.get("name", INDEX))
        if file is None:
            raise web.HTTPNotFound
        if has_it(request, file.etag):
            reply = web.Response(status=304, headers=PAGE_HEADERS)
        else:
            reply = web.Response(body=file.body, content_type=file.media_type, charset="utf-8", headers=PAGE_HEADERS)
        reply.etag = file.etag
        return reply

    async def redirect(request: web.Request) -> web.StreamResponse:
        """The address without its last slash; relative names on the page need it."""
        raise web.HTTPMovedPermanently(PAGE)

    async def lead(request: web.Request) -> web.StreamResponse:
        """The address without a path, as one types it."""
        raise web.HTTPFound(PAGE)

    for route, answers in zip(PAGE_ROUTES, (lead, redirect, answer, answer), strict=True):
        app.router.add_get(route, answers)
