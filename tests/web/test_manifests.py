"""Replies about manifests."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import replace

import jsonschema
import pytest

from hypersdkd.model.manifest_draft import ManifestDraft, ManifestWish
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import Validation
from hypersdkd.web import manifests
from tests.golden.real_daemon import daemon_on
from tests.web.fake import invalid
from tests.web.raw import ask

SUBMIT = "/api/workflow/manifest/submit"
VALIDATE = "/api/workflow/manifest/validate"


async def test_a_valid_manifest(url, workflow):
    warning = Problem("manifest-unknown-key", "unknown key compres", path="pipeline.convert.compres")
    workflow.validation = Validation(warnings=(warning,))
    reply = await ask(url, "POST", VALIDATE, b"{}")
    assert reply.status == 200
    judged = {"valid": True, "errors": [], "problems": [], "warnings": [warning.as_dict()]}
    assert reply.json == {**judged, "taken_for": "manifest"}
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


async def test_a_job_config_is_called_one(url, workflow):
    workflow.validation = replace(invalid("input is required"), taken_for="job-config")
    assert (await ask(url, "POST", VALIDATE, b"{}")).json["taken_for"] == "job-config"
    reply = await ask(url, "POST", SUBMIT, b"{}")
    assert (reply.status, reply.json["detail"]) == (400, "Invalid job config: input is required")
    assert reply.json["taken_for"] == "job-config"


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


# -- generate and schema ------------------------------------------------------------------------------

GENERATE = "/api/workflow/manifest/generate"


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        (b'{"source_path": "/srv/a.vmdk"}', ManifestWish("/srv/a.vmdk")),
        (
            b"source_path: /srv/a.vmdk\ncompress: false\noutput_format: raw\nchecksums: true\ninspect: true\n",
            ManifestWish("/srv/a.vmdk", "raw", compress=False, checksums=True, inside=True),
        ),
    ],
)
async def test_a_manifest_for_a_source(url, workflow, body, wish):
    reply = await ask(url, "POST", GENERATE, body)
    assert reply.status == 200
    assert workflow.calls == [("generate", wish)]
    assert reply.json["pipeline"]["load"]["source_path"] == "/srv/a.vmdk"


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b"", "document-syntax", ""),
        (b"[]", "document-shape", ""),
        (b"{}", "request-invalid", "source_path"),
        (b'{"source_path": ""}', "request-invalid", "source_path"),
        (b'{"source_path": 1}', "request-invalid", "source_path"),
        (b'{"source_path": "/a", "compress": "yes"}', "request-invalid", "compress"),
        (b'{"source_path": "/a", "compress": null}', "request-invalid", "compress"),
        (b'{"source_path": "/a", "output_format": "vhd"}', "request-invalid", "output_format"),
        (b'{"source_path": "/a", "source": "/b"}', "request-invalid", "source"),
    ],
)
async def test_requests_that_cannot_be_understood(url, workflow, body, code, path):
    reply = await ask(url, "POST", GENERATE, body)
    assert (reply.status, reply.json["code"], reply.json["problems"][0]["path"]) == (400, code, path)
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert workflow.calls == []


async def test_a_source_that_may_not_be_looked_at(url, workflow):
    workflow.error = fail("source-outside", "/etc/shadow is outside")
    reply = await ask(url, "POST", GENERATE, b'{"source_path": "/etc/shadow"}')
    assert (reply.status, reply.json["code"]) == (400, "source-outside")


async def test_nobody_looks_for_a_client_that_left(url, workflow, monkeypatch):
    """It held one of four places, for hours."""
    monkeypatch.setattr(manifests, "_LOOK_AGAIN", 0.01)
    asked, given_up = asyncio.Event(), asyncio.Event()

    async def generate(_wish: ManifestWish) -> dict[str, object]:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return {}

    monkeypatch.setattr(workflow, "generate", generate)
    asking = asyncio.create_task(ask(url, "POST", GENERATE, b'{"source_path": "/srv/a.vmdk"}'))
    await asyncio.wait_for(asked.wait(), 60)
    assert not given_up.is_set()
    asking.cancel()
    await asyncio.wait_for(given_up.wait(), 60)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_what_the_real_daemon_generates_it_takes(tmp_path):
    base = tmp_path / "queue"
    base.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base / "a.vmdk", "1M"], check=True)
    async with daemon_on(base, "manifest") as address:
        body = json.dumps({"source_path": str(base / "a.vmdk")}).encode()
        manifest = await ask(address, "POST", GENERATE, body)
        assert manifest.json["pipeline"]["load"] == {"source_type": "qcow2", "source_path": str(base / "a.vmdk")}
        assert (await ask(address, "POST", SUBMIT, manifest.body)).json["job_id"].startswith("a-")
        reply = await ask(address, "POST", GENERATE, b'{"source_path": "/etc/passwd"}')
        assert (reply.status, reply.json["code"]) == (400, "source-outside")


async def test_the_schema_of_job_configs(url):
    schema = (await ask(url, "GET", "/api/workflow/job-config/schema")).json
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"jobs": [{"input": "a.raw"}]})
    assert not validator.is_valid({"jobs": [{"input": "a.raw", "compress": "yes"}]})


async def test_the_schema_tells_good_from_bad(url):
    schema = (await ask(url, "GET", "/api/workflow/manifest/schema")).json
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = ManifestDraft("/srv/a.vmdk").document()
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "version": "2.0"})
    assert not validator.is_valid({"version": "1.0"})
