"""The published document: right by the standard, whole by the table, and true by what the API really sends."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from hypersdkd.model.problem import CODES, Problem
from hypersdkd.web import schemas
from hypersdkd.web.endpoint import COMMON_ERRORS
from hypersdkd.web.endpoints import ENDPOINTS
from hypersdkd.web.errors import http_status
from hypersdkd.web.openapi import DOCS_POLICY, document, page
from tests.golden.real_daemon import daemon_on
from tests.web.fake import invalid
from tests.web.raw import ask

DOCUMENT = json.loads(json.dumps(document(ENDPOINTS)))
SCHEMAS = DOCUMENT["components"]["schemas"]

each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")


def check(name: str, value: object) -> None:
    """``value`` must be as its schema says, and each of its own keys must be in it."""
    root = {"$ref": f"{schemas.COMPONENTS}{name}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(root).validate(value)
    known = SCHEMAS[name].get("properties")
    if known is not None and isinstance(value, dict) and name not in {"Report", "Event"}:
        assert set(value) <= set(known), name


def operation(endpoint) -> dict:
    return DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]


def test_it_is_right_by_the_standard():
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_no_name_stands_for_two_schemas_and_none_for_nothing():
    manifest = schemas.json_schema()["$defs"]
    assert not manifest.keys() & schemas._SCHEMAS.keys()
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert used == SCHEMAS.keys() - {"Object"}


async def test_it_holds_what_is_bound_and_nothing_else(url):
    published = (await ask(url, "GET", "/api/openapi.json")).json
    assert published == DOCUMENT
    bound = {(path, method.upper()) for path, item in published["paths"].items() for method in item}
    assert bound == {(endpoint.path, endpoint.method) for endpoint in ENDPOINTS}


@each_endpoint
def test_every_parameter_reply_and_error(endpoint):
    found = operation(endpoint)
    assert endpoint.reply in SCHEMAS
    assert endpoint.reply != "Object"
    names = [each["name"] for each in found["parameters"]]
    assert names == [*re.findall(r"\{(\w+)\}", endpoint.path), *(each.name for each in endpoint.parameters)]
    for code in (*COMMON_ERRORS, *endpoint.errors):
        assert f"`{code}`" in found["responses"][str(http_status(code))]["description"]
        assert code in CODES
    assert ("requestBody" in found) == bool(endpoint.body)
    guarded = endpoint.path not in {"/healthz", "/readyz"}
    assert found.get("security") == ([{"token": []}, {}] if guarded else None)
    changes = endpoint.method == "POST" and not endpoint.path.endswith("/validate")
    assert found.get("x-hypersdkd-role") == (("operate" if changes else "read") if guarded else None)


async def test_replies_are_as_published(url, workflow):
    """Of the real handlers, with rows, guests, events and entries in them."""
    job = "web01.json"
    for endpoint in ENDPOINTS:
        if endpoint.media_types in {("text/html",), ("text/event-stream",)}:
            continue
        body = b'{"source_path": "/srv/a.vmdk"}' if endpoint.body == "ManifestRequest" else b"{}"
        name = "bad.json" if endpoint.path.endswith("retry") else job
        query = "?status=all" if endpoint.path.endswith("/jobs") else ""
        path = endpoint.path.replace("{id}", name).replace("{n}", "0")
        reply = await ask(url, endpoint.method, path + query, body)
        assert reply.status == endpoint.status, endpoint.path
        if endpoint.reply == "Binary":
            assert reply.headers["Content-Type"].partition(";")[0] in endpoint.media_types
            continue
        assert reply.headers["Content-Type"] == "application/json"
        check(endpoint.reply, reply.json)
    workflow.validation = invalid("version is required")
    for path in ("validate", "submit"):
        endpoint = next(each for each in ENDPOINTS if each.path.endswith(path))
        reply = await ask(url, "POST", endpoint.path, b"{}")
        check(endpoint.reply if path == "validate" else endpoint.refusal, reply.json)
    check("Error", (await ask(url, "GET", "/api/workflow/jobs/none.json")).json)


async def test_replies_of_the_real_daemon_are_as_published(tmp_path):
    base = tmp_path / "queue"
    (base / "to_be_processed").mkdir(parents=True)
    (base / "to_be_processed" / "a.json").write_text('{"version": "1.0"}')
    (base / "to_be_processed" / ".hidden").touch()
    async with daemon_on(base, "manifest") as address:
        status = (await ask(address, "GET", "/api/workflow/status")).json
        check("Status", status)
        assert set(status) == set(SCHEMAS["Status"]["properties"])
        for plugin in status["plugins"]:
            check("Plugin", plugin)
        for path, name in (("jobs?status=all", "JobPage"), ("jobs/a.json", "JobDetail"), ("queue", "Queue")):
            reply = await ask(address, "GET", f"/api/workflow/{path}")
            assert reply.status == 200
            check(name, reply.json)


def test_parts_of_replies():
    check("Problem", Problem("usage", "x").as_dict())
    with pytest.raises(jsonschema.ValidationError):
        check("Receipt", {"success": True})


# -- the page -----------------------------------------------------------------------------------------


async def test_the_page_lists_every_endpoint_and_loads_nothing(url):
    reply = await ask(url, "GET", "/api/docs")
    text = reply.body.decode()
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "<script" not in text and " style=" not in text and " src=" not in text and "@import" not in text
    assert re.findall(r"<h2>(.*)</h2>", text) == [f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS]
    targets = re.findall(r'href="([^"]+)"', text)
    assert {(await ask(url, "GET", target)).status for target in targets} == {200}
    assert text == page(ENDPOINTS)


def test_what_the_page_may_style_is_its_own_style():
    (style,) = re.findall(r"<style>(.*)</style>", page(ENDPOINTS))
    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in DOCS_POLICY
