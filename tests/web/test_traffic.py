"""Replies are counted by what they are replies to, never by what a client made up."""

from __future__ import annotations

import pytest

from hypersdkd.web.app import make_app, serve
from hypersdkd.web.traffic import TRAFFIC
from tests.web.fake import FakeWorkflow
from tests.web.raw import ask


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/healthz", ("/healthz", "GET", 200)),
        ("GET", "/api/workflow/jobs/web01.json", ("/api/workflow/jobs/{id}", "GET", 200)),
        ("GET", "/api/workflow/jobs/none?x=1", ("/api/workflow/jobs/{id}", "GET", 404)),
        ("POST", "/api/workflow/jobs/none/cancel", ("/api/workflow/jobs/{id}/cancel", "POST", 404)),
        ("GET", "/whatever/it/is", ("unmatched", "GET", 404)),
        ("DELETE", "/healthz", ("unmatched", "DELETE", 405)),
        ("PROPFIND", "/healthz", ("unmatched", "other", 405)),
        ("GET", "/web//dashboard/", ("unmatched", "GET", 301)),
        ("GET", "/web/dashboard/no.such", ("/web/dashboard/{name}", "GET", 404)),
    ],
)
async def test_by_route_method_and_status(method: str, path: str, kind: tuple[str, str, int]) -> None:
    app = make_app(FakeWorkflow())
    server = await serve(app, listen=["127.0.0.1:0"])
    try:
        for _ in range(2):
            await ask(server.addresses[0], method, path)
    finally:
        await server.stop()
    assert app[TRAFFIC] == {kind: 2}


async def test_what_is_refused_and_what_fails_count_too() -> None:
    workflow = FakeWorkflow()
    workflow.error = RuntimeError("no luck")
    app = make_app(workflow)
    server = await serve(app, listen=["127.0.0.1:0"])
    try:
        await ask(server.addresses[0], "GET", "/api/workflow/status")
        await ask(server.addresses[0], "GET", "/healthz", headers={"Host": "evil.example"})
    finally:
        await server.stop()
    assert app[TRAFFIC] == {("/api/workflow/status", "GET", 500): 1, ("/healthz", "GET", 403): 1}
