"""Addresses of plugins: answered, refused, counted and published like the API's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from hypersdkd.model.problem import fail
from hypersdkd.spec.types import Endpoint, Request, Response
from hypersdkd.web.app import Server, make_app, serve
from tests.web.fake import FakeWorkflow
from tests.web.raw import ask


class FakeEndpoints:
    """See ``hypersdkd.spec.service.PluginEndpoints``."""

    def __init__(self) -> None:
        self.endpoints = [declared("/api/plugins/acme/a.b"), declared("/metrics", "text/plain", "application/x-y")]
        self.asked: list[tuple[str, Request, Mapping[tuple[str, str, int], int]]] = []
        self.response = Response(b"caf\xc3\xa9", "text/plain; version=1; charset=utf-8", 202)
        self.error: Exception | None = None

    def all(self) -> Sequence[Endpoint]:
        return self.endpoints

    async def answer(
        self, endpoint: Endpoint, request: Request, requests: Mapping[tuple[str, str, int], int]
    ) -> Response:
        self.asked.append((endpoint.path, request, dict(requests)))
        if self.error is not None:
            raise self.error
        return self.response


def declared(path: str, *media_types: str) -> Endpoint:
    def never(*_: object) -> Response:
        raise AssertionError("only the engine calls it")

    return Endpoint(path, "what a test answers", never, media_types or ("application/json",))


@pytest.fixture
def plugins() -> FakeEndpoints:
    return FakeEndpoints()


@pytest.fixture
async def server(plugins: FakeEndpoints) -> AsyncIterator[Server]:
    running = await serve(make_app(FakeWorkflow(), plugins), listen=["127.0.0.1:0"])
    yield running
    await running.stop()


@pytest.fixture
def url(server: Server) -> str:
    return server.addresses[0]


async def test_the_reply_is_the_plugins(url: str, plugins: FakeEndpoints) -> None:
    reply = await ask(url, "GET", "/api/plugins/acme/a.b?q=1&q=2&x=%2F", headers={"X-Thing": "Yes"})
    assert (reply.status, reply.body) == (202, b"caf\xc3\xa9")
    assert reply.headers["Content-Type"] == "text/plain; version=1; charset=utf-8"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    ((path, request, _),) = plugins.asked
    assert path == "/api/plugins/acme/a.b"
    assert request.query == {"q": "1", "x": "/"}
    assert request.headers["x-thing"] == "Yes"


async def test_the_replies_so_far_are_given_by_the_declared_address(url: str, plugins: FakeEndpoints) -> None:
    for path in ("/healthz", "/api/plugins/acme/a.b", "/api/plugins/acme/none", "/metrics"):
        await ask(url, "GET", path)
    assert plugins.asked[-1][2] == {
        ("/healthz", "GET", 200): 1,
        ("/api/plugins/acme/a.b", "GET", 202): 1,
        ("/api/plugins/{plugin}/{rest}", "GET", 404): 1,
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/plugins/acme", 404),
        ("GET", "/api/plugins/acme/other", 404),
        ("GET", "/api/plugins/acme/..%2f..%2fetc", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 405),
    ],
)
async def test_other_addresses_and_methods(
    url: str, plugins: FakeEndpoints, method: str, path: str, status: int
) -> None:
    assert (await ask(url, method, path)).status == status
    assert plugins.asked == []


async def test_a_foreign_page_is_refused(url: str, plugins: FakeEndpoints) -> None:
    reply = await ask(url, "GET", "/metrics", headers={"Host": "evil.example"})
    assert (reply.status, reply.json["code"], plugins.asked) == (403, "request-refused", [])


async def test_one_that_fails_is_a_problem(url: str, plugins: FakeEndpoints) -> None:
    plugins.error = fail("plugin-failed", "the plugin acme does not answer")
    reply = await ask(url, "GET", "/metrics")
    assert (reply.status, reply.json["code"]) == (500, "plugin-failed")
    assert reply.json["remedy"]


async def test_they_are_published_as_they_are_now(url: str, plugins: FakeEndpoints) -> None:
    published = (await ask(url, "GET", "/api/openapi.json")).json
    assert list(OpenAPIV31SpecValidator(published).iter_errors()) == []
    reply = published["paths"]["/metrics"]["get"]
    assert (reply["operationId"], reply["summary"]) == ("metrics", "what a test answers")
    assert set(reply["responses"]["200"]["content"]) == {"text/plain", "application/x-y"}
    assert "plugin-failed" in json.dumps(reply["responses"]["500"])
    assert b"/api/plugins/acme/a.b" in (await ask(url, "GET", "/api/docs")).body
    plugins.endpoints = []
    assert "/metrics" not in (await ask(url, "GET", "/api/openapi.json")).json["paths"]
    assert (await ask(url, "GET", "/metrics")).status == 404


async def test_a_plugin_sees_no_token(url, plugins):
    await ask(url, "GET", "/metrics", headers={"Authorization": "Bearer secret", "X-Other": "seen"})
    _path, request, _ = plugins.asked[-1]
    assert request.headers["x-other"] == "seen"
    assert "secret" not in str(request)
