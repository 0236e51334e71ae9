"""From a problem to a reply."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from hypersdkd.model.problem import CODES, Problem, ProblemError, fail
from hypersdkd.web.app import make_app, serve
from hypersdkd.web.errors import _json_in_pieces, http_status, json_reply, problem_reply
from tests.web.fake import RUNNING
from tests.web.raw import ask

STATUS = "/api/workflow/status"


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_complete_reply(code):
    reply = problem_reply(Problem(code, "what happened"))
    document = json.loads(reply.body)
    assert reply.content_type == "application/problem+json"
    assert reply.status == document["status"] == CODES[code].http
    assert 400 <= reply.status <= 599
    assert document["type"] == f"urn:hypersdkd:problem:{code}"
    assert (document["code"], document["detail"]) == (code, "what happened")
    assert document["title"] == CODES[code].meaning
    assert document["remedy"]
    assert document["problems"] == [Problem(code, "what happened").as_dict()]


def test_a_plugins_own_code_is_the_callers_fault():
    assert http_status("vmware.no-tools") == 400
    assert json.loads(problem_reply(Problem("vmware.no-tools", "x")).body)["title"] == "x"


async def test_what_a_workflow_raises_is_answered(url, workflow):
    workflow.error = ProblemError(Problem("queue-unusable", "disk gone"), retry_after=2.6)
    reply = await ask(url, "GET", STATUS)
    assert (reply.status, reply.json["detail"], reply.headers["Retry-After"]) == (500, "disk gone", "3")
    workflow.error = fail("job-state", "not now")
    assert (await ask(url, "POST", "/api/workflow/pause")).status == 409


async def test_the_unexpected_is_logged_and_not_told(workflow):
    workflow.error = RuntimeError("the secret")
    with capture_logs() as lines:
        server = await serve(make_app(workflow), listen=["127.0.0.1:0"])
        reply = await ask(server.addresses[0], "GET", STATUS)
        await server.stop()
    assert (reply.status, reply.json["code"]) == (500, "internal")
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    assert [(line["event"], line["path"], line["exc_info"]) for line in lines] == [("request failed", STATUS, True)]


def test_replies_are_ascii_and_never_nan():
    assert json_reply({"name": "é\udcff"}).body == b'{"name": "\\u00e9\\udcff"}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_reply({"x": float("nan")})


def test_a_long_list_is_encoded_in_pieces_to_the_same_json():
    data = {"a": list(range(250)), "b": [1, "é"], "c": {"d": [None]}, "e": []}
    assert _json_in_pieces(data) == json_reply(data).body
    assert _json_in_pieces({}) == b"{}\n"


async def test_a_reply_that_is_not_json_is_an_error_of_ours(url, workflow):
    workflow.rows = [replace(RUNNING, progress=float("nan"))]
    assert (await ask(url, "GET", "/api/workflow/jobs?status=all")).json["code"] == "internal"
