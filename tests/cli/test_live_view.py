"""What live events alone make of the queue is what asking would show; and asking is rare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from hypersdkd.cli.live_view import LiveView
from hypersdkd.client.address import parse_address
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import ProblemError
from tests.cli.conftest import RealRules
from tests.problems import raises_problem
from tests.web.fake import RUNNING

#: Seconds between two looks; what was told before is there at the next one at the latest after it.
SOON = 0.05


@pytest.fixture
def looks(workflow: RealRules) -> Iterator[Iterator[Reply]]:
    with closing(LiveView(Daemon(parse_address(workflow.url))).looks(SOON)) as found:
        yield found


def until(looks: Iterator[Reply], holds: Callable[[Reply], bool]) -> Reply:
    """The first look that shows what was told."""
    for _, reply in zip(range(200), looks, strict=False):
        if holds(reply):
            return reply
    raise AssertionError("never shown")


def row(job_id: str, status: str = "processing", **changed: object) -> dict[str, object]:
    return {**RUNNING.as_dict(), "id": job_id, "status": status, **changed}


def ids(reply: Reply) -> list[str]:
    return [job["id"] for job in reply["jobs"]]


def asked(workflow: RealRules) -> list[object]:
    return [call[0] for call in workflow.calls]


def test_it_begins_with_what_is_there(looks: Iterator[Reply], workflow: RealRules) -> None:
    first = next(looks)
    assert (first["queue_depth"], ids(first)) == (1, ["web01.json"])
    for _ in range(5):
        assert next(looks) == first
    assert asked(workflow) == ["listen", "status", "jobs"]


def test_progress_is_told_and_asks_for_nothing(looks: Iterator[Reply], workflow: RealRules) -> None:
    next(looks)
    for percent in (50, 60, 70):
        workflow.tell("job", row("web01.json", progress=percent))
        workflow.tell("guest", {"job": "web01.json", "type": "progress", "percent": percent})
        until(looks, lambda reply, percent=percent: reply["jobs"][0]["progress"] == percent)
    assert asked(workflow).count("status") == 1


def test_a_job_that_comes_and_goes_changes_the_counts(looks: Iterator[Reply], workflow: RealRules) -> None:
    next(looks)
    workflow.tell("job", row("new.json"))
    assert ids(until(looks, lambda reply: len(reply["jobs"]) == 2)) == ["web01.json", "new.json"]
    for status in ("completed", "gone"):
        workflow.tell("job", {"id": "new.json", "status": status})
        until(looks, lambda reply: ids(reply) == ["web01.json"])
    assert 3 <= asked(workflow).count("status") <= 4


def test_a_file_that_is_dropped_under_the_name_of_a_running_job_does_not_hide_it(
    looks: Iterator[Reply], workflow: RealRules
) -> None:
    next(looks)
    workflow.tell("job", row("web01.json", "pending"))
    workflow.tell("job", row("new.json"))
    assert ids(until(looks, lambda reply: len(reply["jobs"]) == 2)) == ["web01.json", "new.json"]


def test_a_pause_is_told(looks: Iterator[Reply], workflow: RealRules) -> None:
    next(looks)
    workflow.tell("daemon", {"paused": True})
    until(looks, lambda reply: reply.get("paused") is True)
    assert asked(workflow).count("status") == 1


def test_who_comes_back_hears_what_was_missed_and_does_not_ask_anew(workflow: RealRules) -> None:
    view = LiveView(Daemon(parse_address(workflow.url)))
    with closing(view.looks(SOON)) as looks:
        next(looks)
    workflow.tell("job", row("web01.json", progress=99))
    with closing(view.looks(SOON)) as looks:
        assert until(looks, lambda reply: reply["jobs"][0]["progress"] == 99)
    assert asked(workflow) == ["listen", "status", "jobs", "listen"]


def test_what_cannot_be_told_any_more_is_asked(looks: Iterator[Reply], workflow: RealRules) -> None:
    next(looks)
    workflow.rows = []
    workflow.tell("reset", {})
    until(looks, lambda reply: reply["jobs"] == [])
    assert asked(workflow) == ["listen", "status", "jobs", "status", "jobs"]


def test_ends_are_given_once(workflow: RealRules) -> None:
    view = LiveView(Daemon(parse_address(workflow.url)))
    with closing(view.looks(SOON)) as looks:
        next(looks)
        workflow.tell("job", row("web01.json", "failed"))
        workflow.tell("ended", {"job": "web01.json", "status": "failed", "code": "source-missing"})
        assert until(looks, lambda reply: reply["jobs"] == [])["queue_depth"] == 1
    assert view.ended() == [("web01.json", "failed: source-missing")]
    assert view.ended() == []


def test_the_end_of_the_stream_is_a_problem(looks: Iterator[Reply], workflow: RealRules) -> None:
    next(looks)
    workflow.hang_up()
    with raises_problem("daemon-unreachable", "ended the connection"):
        for _, _reply in zip(range(200), looks, strict=False):
            pass


def test_nothing_there() -> None:
    with pytest.raises(ProblemError, match="No daemon answers"):
        next(LiveView(Daemon(parse_address("http://127.0.0.1:9"))).looks(SOON))
