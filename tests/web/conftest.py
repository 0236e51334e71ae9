"""A server on a free port with a workflow in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hypersdkd.web import app
from hypersdkd.web.app import Server, make_app, serve
from tests.web.fake import FakeWorkflow


@pytest.fixture
def workflow() -> FakeWorkflow:
    return FakeWorkflow()


@pytest.fixture
async def server(workflow: FakeWorkflow, tmp_path, monkeypatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(app, "LINGER_SECONDS", 0.05)  # a refused body that never comes is waited for
    running = await serve(make_app(workflow), listen=["127.0.0.1:0"], socket_path=tmp_path / "api.sock")
    yield running
    workflow.broadcast.close()  # as the daemon does: a listener's request would not end by itself
    await running.stop()


@pytest.fixture
def url(server: Server) -> str:
    return server.addresses[0]


@pytest.fixture
def unix(server: Server) -> str:
    return server.addresses[1]
