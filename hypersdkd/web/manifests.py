"""Endpoints of manifests and job configs. The phrases of validate and submit are those of the Go API."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web

from hypersdkd.model import job_config
from hypersdkd.model.manifest import json_schema, submit_phrase
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import ManifestInvalidError
from hypersdkd.spec.service import Workflow
from hypersdkd.web.access import key_space
from hypersdkd.web.errors import json_reply, problem_reply, retry_later
from hypersdkd.web.request import idempotency_key, manifest_wish, read_body

#: What the Go API puts before a failure that is not the manifest's.
NOT_SUBMITTED: Final = "Failed to submit manifest: "


#: Seconds between two looks whether a client that waits is still there.
_LOOK_AGAIN: Final = 1.0

#: nginx's word for a client that closed the connection; nobody reads it.
_CLIENT_LEFT: Final = 499


async def validate_manifest(workflow: Workflow, request: web.Request) -> web.Response:
    """Judge a manifest. 200 whether it is valid or not, 400 when it cannot be read at all."""
    try:
        validation = await workflow.validate(await read_body(request))
    except ProblemError as error:
        if error.retry_after is not None:
            raise  # nothing was judged: the reply must not say that it is not valid
        return _refusal(error.problem.message, (error.problem,))
    if not validation.parsed:
        return _refusal(submit_phrase(validation.problems[0]), validation.problems)
    return json_reply(
        {
            "valid": validation.valid,
            "errors": [problem.message for problem in validation.problems],
            "problems": [problem.as_dict() for problem in validation.problems],
            "warnings": [warning.as_dict() for warning in validation.warnings],
            "taken_for": validation.taken_for,
        }
    )


async def submit_manifest(workflow: Workflow, request: web.Request) -> web.Response:
    """Put a manifest into the queue, if it is valid."""
    try:
        body = await read_body(request)
        key = idempotency_key(request)
        key = key and f"{key_space(request)} {key}"
    except ProblemError as error:
        return retry_later(_refusal(error.problem.message, (error.problem,)), error)
    try:
        receipt = await workflow.submit(body, idempotency_key=key, default_name=request.query.get("name", ""))
    except ManifestInvalidError as error:
        taken_for = error.validation.taken_for
        more = {"taken_for": taken_for} if error.validation.parsed else {}
        return _refusal(submit_phrase(error.problem, taken_for), error.validation.problems, more)
    except ProblemError as error:
        return retry_later(_refusal(NOT_SUBMITTED + error.problem.message, (error.problem,)), error)
    return json_reply({"success": True, "manifest_path": receipt.manifest_path, "job_id": receipt.job_id})


async def generate_manifest(workflow: Workflow, request: web.Request) -> web.Response:
    """A manifest for a source that the daemon can see. It is given up when the client leaves: it may take hours."""
    wish = manifest_wish(await read_body(request))
    looking = asyncio.create_task(workflow.generate(wish))
    try:
        while request.transport is not None:
            done, _ = await asyncio.wait({looking}, timeout=_LOOK_AGAIN)
            if done:
                return json_reply(looking.result())
    finally:
        looking.cancel()
        await asyncio.wait({looking})
    return web.Response(status=_CLIENT_LEFT)


async def manifest_schema(workflow: Workflow, request: web.Request) -> web.Response:
    """The JSON Schema of manifests."""
    return json_reply(json_schema())


async def schema_of_job_configs(workflow: Workflow, request: web.Request) -> web.Response:
    """The JSON Schema of job configs."""
    return json_reply(job_config.json_schema())


def _refusal(detail: str, problems: Sequence[Problem], more: Mapping[str, object] | None = None) -> web.Response:
    """An error in the shape that clients of either endpoint read, and ``more`` fields."""
    errors = [problem.message for problem in problems]
    extra = {"valid": False, "success": False, "errors": errors, **(more or {})}
    return problem_reply(problems[0], detail=detail, problems=problems, extra=extra)
