"""Bearer tokens at the door (RFC 6750): who may call what, and how it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from aiohttp import web

from hypersdkd.model.problem import Problem
from hypersdkd.model.role import Role
from hypersdkd.web.access import SAFE_METHODS, TOKEN_NAME, by_unix_socket, logged_path, peer
from hypersdkd.web.admission import ADMISSION
from hypersdkd.web.attempts import LIMIT
from hypersdkd.web.errors import Handler, problem_reply

#: The role that each method of each path needs; what is not in it goes by its method.
ROLES: Final[web.AppKey[Mapping[tuple[str, str], Role]]] = web.AppKey("roles", dict)

_CHALLENGE: Final = 'Bearer realm="hypersdkd"'

_log = structlog.get_logger("hypersdkd.audit")


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Where tokens are in force, let in by TCP only whose token allows it. By the unix socket its file mode decided.

    Refuses with ``token-required``, ``token-unknown``, ``token-attempts`` and ``role-insufficient``.
    """
    admission = request.app[ADMISSION]
    needed = _needed(request)
    if admission.tokens is None or needed is Role.ANYONE or by_unix_socket(request):
        return await handler(request)
    presented = _presented(request)
    if presented is None:
        return _refusal("token-required", "The request has no token.", _CHALLENGE)
    token = admission.tokens.find(presented)
    if token is None:
        return _unknown(request)
    request[TOKEN_NAME] = token.name
    if not token.role.allows(needed):
        message = f"The token {token.name} may {token.role}; this needs one that may {needed}."
        challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{needed}"'
        return _refusal("role-insufficient", message, challenge)
    with admission.inside(token, request.transport):
        return await handler(request)


def _needed(request: web.Request) -> Role:
    """The role for a request; a path or a method that there is not tells nothing to strangers either."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource else ""
    usual = Role.READ if request.method in SAFE_METHODS else Role.OPERATE
    return request.app[ROLES].get((request.method, path), usual)


def _presented(request: web.Request) -> str | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def _unknown(request: web.Request) -> web.Response:
    address = peer(request)
    count, wait = request.app[ADMISSION].attempts.failed(address)
    if count <= LIMIT:
        last = {"note": "no more are logged for a minute"} if count == LIMIT else {}
        _log.warning("token refused", address=address, method=request.method, path=logged_path(request), **last)
        challenge = f'{_CHALLENGE}, error="invalid_token"'
        return _refusal("token-unknown", "The token is none of those in force.", challenge)
    reply = problem_reply(
        Problem("token-attempts", f"More than {LIMIT} unknown tokens in a minute came from {address}.")
    )
    reply.headers["Retry-After"] = str(max(1, round(wait)))
    reply.force_close()
    return reply


def _refusal(code: str, message: str, challenge: str) -> web.Response:
    reply = problem_reply(Problem(code, message))
    reply.headers["WWW-Authenticate"] = challenge
    return reply
