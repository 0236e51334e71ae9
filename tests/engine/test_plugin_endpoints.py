"""A plugin's endpoint: what it is given, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hypersdkd.engine.plugin_endpoints import EndpointCalls
from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.model.problem import fail
from hypersdkd.spec.ports import Counts
from hypersdkd.spec.types import Endpoint, Request, Response
from tests.engine.workbench import Workbench, workbench
from tests.problems import raises_problem

ASKED = Request({"q": "1"}, {"accept": "text/plain"})
PATH = "/api/plugins/acme/x"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    async with workbench(tmp_path / "queue", run=False) as running:
        yield running


def declared(bench: Workbench, answer: Callable[[Request, Counts], Response]) -> tuple[EndpointCalls, PluginRecord]:
    record = PluginRecord("acme", "acme")
    bench.plugins._endpoints[PATH] = (record, Endpoint(PATH, "a test", answer))
    return EndpointCalls(bench.service._parts, bench.service.view), record


async def reply(calls: EndpointCalls) -> Response:
    (endpoint,) = [each for each in calls.all() if each.path == PATH]
    return await calls.answer(endpoint, ASKED, {("/healthz", "GET", 200): 3})


async def test_it_is_given_the_request_and_what_the_core_counts(bench: Workbench) -> None:
    given = []
    calls, _ = declared(bench, lambda request, counts: given.append((request, counts)) or Response(b"fine"))
    assert (await reply(calls)).body == b"fine"
    ((request, counts),) = given
    assert request == ASKED
    assert counts.requests == {("/healthz", "GET", 200): 3}
    assert counts.jobs == dict.fromkeys(("pending", "processing", "completed", "failed", "cancelled"), 0)
    assert (counts.workers_running, counts.max_workers) == (0, 2)
    assert counts.rescans["start"] == 4
    assert counts.plugin_errors["metrics"] == 0


async def test_errors_of_a_refused_plugin_of_the_same_name_count_too(bench: Workbench) -> None:
    given = []
    calls, _ = declared(bench, lambda request, counts: given.append(counts.plugin_errors["metrics"]) or Response(b""))
    other = PluginRecord("metrics", "/etc/metrics.py")
    other.blame(PluginState.REFUSED, "its name is taken")
    bench.plugins._records["/etc/metrics.py"] = other
    await reply(calls)
    assert given == [1]


async def test_a_problem_is_the_plugins_answer(bench: Workbench) -> None:
    def answer(_request: Request, _counts: Counts) -> Response:
        raise fail("job-unknown", "there is none")

    calls, record = declared(bench, answer)
    with raises_problem("job-unknown"):
        await reply(calls)
    assert record.state is PluginState.LOADED


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: 1 / 0,
        lambda: "text",
        lambda: None,
        lambda: Response("text"),
        lambda: Response(b"", "text/plain\r\nX-Evil: 1"),
        lambda: Response(b"", status=9999),
    ],
)
async def test_one_that_fails_is_blamed(bench: Workbench, wrong: Callable[[], Response]) -> None:
    calls, record = declared(bench, lambda _request, _counts: wrong())
    with raises_problem("plugin-failed", "acme"):
        await reply(calls)
    assert record.state is PluginState.FAULTY
