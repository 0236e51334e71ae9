"""The API in words for machines and people, both made from the table of endpoints that binds the routes."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from aiohttp import web

import hypersdkd
from hypersdkd.model.problem import CODES
from hypersdkd.model.role import Role
from hypersdkd.spec.service import Workflow
from hypersdkd.web.endpoint import COMMON_ERRORS, Endpoint, Parameter
from hypersdkd.web.errors import http_status, json_reply
from hypersdkd.web.schemas import COMPONENTS, components

#: Tells the endpoints that an application answers for now; it publishes these.
PUBLISHED: Final[web.AppKey[Callable[[], Sequence[Endpoint]]]] = web.AppKey("endpoints")

#: The name of the one way to show who calls.
_SCHEME: Final = "token"

_PROBLEM_JSON: Final = "application/problem+json"

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "h2{font:600 1.05rem ui-monospace,monospace;margin:2rem 0 0;overflow-wrap:anywhere}p{margin:.25rem 0}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.1rem 1rem .1rem 0}"
)

#: The page may have this very style and nothing else.
DOCS_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def openapi(workflow: Workflow, request: web.Request) -> web.Response:
    """The OpenAPI document."""
    return json_reply(document(request.app[PUBLISHED]()))


async def docs(workflow: Workflow, request: web.Request) -> web.Response:
    """The list of endpoints as a page."""
    return web.Response(
        text=page(request.app[PUBLISHED]()),
        content_type="text/html",
        charset="utf-8",
        headers={"Content-Security-Policy": DOCS_POLICY},
    )


def document(endpoints: Sequence[Endpoint]) -> dict[str, object]:
    """The OpenAPI 3.1 document of ``endpoints``."""
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hypersdkd",
            "version": hypersdkd.__version__,
            "summary": "Converts virtual machines for KVM",
            "license": {"name": "LGPL-3.0-or-later", "identifier": "LGPL-3.0-or-later"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components(), "securitySchemes": {_SCHEME: {"type": "http", "scheme": "bearer"}}},
    }


def error_codes(endpoint: Endpoint) -> Mapping[int, Sequence[str]]:
    """The problem codes of an endpoint by their HTTP status, the lowest first."""
    found: dict[int, list[str]] = {}
    for code in (*COMMON_ERRORS, *endpoint.errors):
        found.setdefault(http_status(code), []).append(code)
    return dict(sorted(found.items()))


def _operation(endpoint: Endpoint) -> dict[str, object]:
    operation: dict[str, object] = {
        "operationId": endpoint.operation_id,
        "summary": endpoint.summary,
        "parameters": [_parameter(each) for each in (*endpoint.path_parameters, *endpoint.parameters)],
        "responses": dict(_responses(endpoint)),
    }
    if endpoint.needed is not Role.ANYONE:
        # The empty one: without tokens in force, and by the unix socket.
        operation["security"] = [{_SCHEME: []}, {}]
        operation["x-hypersdkd-role"] = str(endpoint.needed)
    if endpoint.body:
        kinds = ("application/json", "application/yaml")
        operation["requestBody"] = {"required": True, "content": {kind: _content(endpoint.body) for kind in kinds}}
    return operation


def _parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.meaning,
        "schema": dict(parameter.schema),
    }


def _responses(endpoint: Endpoint) -> Iterator[tuple[str, object]]:
    content = {kind: _content("Text" if kind.startswith("text/") else endpoint.reply) for kind in endpoint.media_types}
    yield str(endpoint.status), {"description": endpoint.summary, "content": content}
    if any(each.name == "If-None-Match" for each in endpoint.parameters):
        yield "304", {"description": "The client has this reply"}
    refusal = {_PROBLEM_JSON: _content(endpoint.refusal)}
    for status, codes in error_codes(endpoint).items():
        meanings = "; ".join(f"`{code}`: {CODES[code].meaning}" for code in codes)
        yield str(status), {"description": meanings, "content": refusal}
    yield "default", {"description": "Any other problem", "content": refusal}


def _content(name: str) -> dict[str, object]:
    return {"schema": {"$ref": COMPONENTS + name}}


def page(endpoints: Sequence[Endpoint]) -> str:
    """The same as a page without scripts."""
    return "\n".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>hypersdkd API</title>\n<style>{_STYLE}</style>",
            f"<h1>hypersdkd {html.escape(hypersdkd.__version__)}: the API</h1>",
            '<p>For programs: <a href="/api/openapi.json">OpenAPI</a>. '
            'Manifests: <a href="/api/workflow/manifest/schema">JSON Schema</a>. '
            'For people: <a href="/web/dashboard/">the dashboard</a>.</p>',
            *(line for endpoint in endpoints for line in _section(endpoint)),
            "</html>\n",
        )
    )


def _section(endpoint: Endpoint) -> Iterator[str]:
    yield f"<h2>{endpoint.method} {html.escape(endpoint.path)}</h2>\n<p>{html.escape(endpoint.summary)}.</p>\n<table>"
    for parameter in (*endpoint.path_parameters, *endpoint.parameters):
        yield _row(f"{parameter.place} <code>{html.escape(parameter.name)}</code>", parameter.meaning)
    if endpoint.body:
        yield _row("body", endpoint.body)
    yield _row("role", endpoint.needed)
    yield _row(str(endpoint.status), f"{endpoint.reply} ({', '.join(endpoint.media_types)})")
    for status, codes in error_codes(endpoint).items():
        yield _row(str(status), ", ".join(codes))
    yield "</table>"


def _row(heading: str, text: str) -> str:
    return f'<tr><th scope="row">{heading}<td>{html.escape(text)}'
