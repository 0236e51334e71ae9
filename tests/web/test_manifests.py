"""Replies of validate and submit."""

from __future__ import annotations

import pytest

from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import Validation
from tests.web.fake import invalid
from tests.web.raw import ask

SUBMIT = "/api/workflow/manifest/submit"
VALIDATE = "/api/workflow/manifest/validate"


async def test_a_valid_manifest(url, workflow):
    warning = Problem("manifest-unknown-key", "unknown key compres", path="pipeline.convert.compres")
    workflow.validation = Validation(warnings=(warning,))
    reply = await ask(url, "POST", VALIDATE, b"{}")
    assert reply.status == 200
    assert reply.json == {"valid": True, "errors": [], "problems": [], "warnings": [warning.as_dict()]}
    reply = await ask(url, "POST", SUBMIT, b"{}")
    assert reply.status == 200
    assert reply.json == {"success": True, "manifest_path": "/q/to_be_processed/web01.json", "job_id": "web01.json"}


async def test_an_invalid_manifest(url, workflow):
    workflow.validation = invalid("version is required", "pipeline is required")
    reply = await ask(url, "POST", VALIDATE, b"{}")
    assert reply.status == 200
    assert (reply.json["valid"], reply.json["errors"]) == (False, ["version is required", "pipeline is required"])
    assert [problem["code"] for problem in reply.json["problems"]] == ["manifest-required"] * 2
    reply = await ask(url, "POST", SUBMIT, b"{}")
    assert (reply.status, reply.json["detail"]) == (400, "Invalid manifest: version is required")
    assert (reply.json["success"], reply.json["valid"]) == (False, False)
    assert reply.json["errors"] == ["version is required", "pipeline is required"]
    assert len(reply.json["problems"]) == 2


@pytest.mark.parametrize("path", [VALIDATE, SUBMIT])
async def test_a_text_that_is_no_document(url, workflow, path):
    workflow.validation = invalid("line 1: unexpected end", parsed=False)
    reply = await ask(url, "POST", path, b"{")
    assert (reply.status, reply.json["detail"]) == (400, "Invalid JSON: line 1: unexpected end")
    assert (reply.json["code"], reply.json["valid"], reply.json["success"]) == ("document-syntax", False, False)
    assert reply.json["errors"] == ["line 1: unexpected end"]


async def test_a_submission_that_fails_otherwise(url, workflow):
    workflow.error = fail("queue-unusable", "to_be_processed: not a directory")
    reply = await ask(url, "POST", SUBMIT, b"{}")
    assert (reply.status, reply.json["code"]) == (500, "queue-unusable")
    assert reply.json["detail"] == "Failed to submit manifest: to_be_processed: not a directory"
    assert reply.json["errors"] == ["to_be_processed: not a directory"]
