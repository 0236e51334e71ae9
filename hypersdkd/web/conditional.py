"""Conditional requests: a client that has the reply already gets 304 and no body (RFC 9110, section 13)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from aiohttp import ETag, web


def tag_of(data: Mapping[str, object]) -> str:
    """A tag that changes with ``data``, JSON values."""
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=12).hexdigest()


def has_it(request: web.Request, tag: str) -> bool:
    """Whether the client says by ``If-None-Match`` that it has the reply of that tag."""
    return bool(tag) and any(each.value in {tag, "*"} for each in request.if_none_match or ())


def tagged(reply: web.Response, tag: str) -> web.Response:
    """``reply`` with its tag, a weak one: it says that nothing new is told, not that every byte is the same."""
    if tag:
        reply.etag = ETag(tag, is_weak=True)
    return reply


def not_modified(tag: str) -> web.Response:
    """The reply to a client that has it."""
    return tagged(web.Response(status=304), tag)
