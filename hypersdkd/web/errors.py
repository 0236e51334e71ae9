"""From a problem to an HTTP reply: the one place where a code becomes a status.

Every error reply is RFC 9457 ``application/problem+json``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog
from aiohttp import web

from hypersdkd.model.problem import CODES, Problem, ProblemError

#: The thread in which an application writes long replies: it is no matter of the queue's own threads.
ENCODER: Final = web.AppKey("encoder", ThreadPoolExecutor)

#: Items of a list that are encoded at once; about a millisecond's worth.
_PIECE: Final = 100

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger("hypersdkd.web")

#: Phrases that clients of the Go API look for.
NOT_FOUND: Final = "404 page not found"
METHOD_NOT_ALLOWED: Final = "Method not allowed"


def http_status(code: str) -> int:
    """The status of a code; a plugin's own codes count as the caller's fault."""
    known = CODES.get(code)
    return known.http if known else 400


def json_reply(data: Mapping[str, object], *, status: int = 200) -> web.Response:
    """A JSON reply. ASCII only, so that a file name that is not UTF-8 cannot break a client's decoder."""
    text = json.dumps(data, allow_nan=False) + "\n"
    return web.Response(status=status, body=text.encode("ascii"), content_type="application/json")


async def large_reply(request: web.Request, make: Callable[[], Mapping[str, object]]) -> web.Response:
    """A JSON reply of what ``make`` gives, both made in a thread: 10,000 guests are tens of megabytes."""
    loop = asyncio.get_running_loop()
    body = await loop.run_in_executor(request.app[ENCODER], lambda: _json_in_pieces(make()))
    return web.Response(body=body, content_type="application/json")


def _json_in_pieces(data: Mapping[str, object]) -> bytes:
    """JSON as :func:`json_reply` writes it. Long lists in pieces, between which the event loop gets its turn."""
    members = []
    for key, value in data.items():
        if isinstance(value, list) and len(value) > _PIECE:
            pieces = (value[start : start + _PIECE] for start in range(0, len(value), _PIECE))
            text = "[" + ", ".join(json.dumps(piece, allow_nan=False)[1:-1] for piece in pieces) + "]"
        else:
            text = json.dumps(value, allow_nan=False)
        members.append(f"{json.dumps(key)}: {text}")
    return f"{{{', '.join(members)}}}\n".encode("ascii")


def problem_reply(
    problem: Problem,
    *,
    detail: str = "",
    status: int = 0,
    problems: Sequence[Problem] = (),
    extra: Mapping[str, object] | None = None,
) -> web.Response:
    """The reply for ``problem``; ``detail`` is its message unless said otherwise.

    ``problems`` is everything that is wrong, when that is more than the one. ``extra`` adds fields.
    """
    known = CODES.get(problem.code)
    status = status or http_status(problem.code)
    document: dict[str, object] = {
        "type": f"urn:hypersdkd:problem:{problem.code}",
        "title": known.meaning if known else problem.message,
        "status": status,
        "detail": detail or problem.message,
        "code": problem.code,
        "remedy": problem.remedy,
        "problems": [each.as_dict() for each in problems or (problem,)],
        **(extra or {}),
    }
    reply = json_reply(document, status=status)
    reply.content_type = "application/problem+json"
    return reply


def retry_later(reply: web.Response, error: ProblemError) -> web.Response:
    """``reply`` with the ``Retry-After`` that ``error`` asks for, if it does."""
    if error.retry_after is not None:
        reply.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return reply


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a reply. Nothing unexpected is told to the caller, only logged."""
    try:
        return await handler(request)
    except ProblemError as error:
        return retry_later(problem_reply(error.problem), error)
    except web.HTTPException as error:
        return _from_aiohttp(error)
    except Exception:
        _log.exception("request failed", method=request.method, path=request.rel_url.raw_path)
        return problem_reply(Problem("internal", "An unexpected error; the daemon's log has it."))


def _from_aiohttp(error: web.HTTPException) -> web.StreamResponse:
    """The reply for what aiohttp itself raises: its router, its body limit, a redirect."""
    if error.status < 400:
        return web.Response(status=error.status, headers=error.headers, body=error.body)
    if isinstance(error, web.HTTPMethodNotAllowed):
        reply = problem_reply(Problem("method-not-allowed", METHOD_NOT_ALLOWED))
        reply.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return reply
    if isinstance(error, web.HTTPNotFound):
        return problem_reply(Problem("not-found", NOT_FOUND))
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return problem_reply(Problem("document-too-large", "Failed to read request: the body is larger than 10 MiB"))
    return problem_reply(Problem("request-invalid", error.reason), status=error.status)
