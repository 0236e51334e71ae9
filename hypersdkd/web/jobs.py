"""Endpoints of jobs. Each takes the workflow and the request, and answers or raises ``ProblemError``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from aiohttp import web

from hypersdkd.model.job import JobState
from hypersdkd.model.replies import JobQuery
from hypersdkd.spec.service import Workflow
from hypersdkd.web.conditional import has_it, not_modified, tagged
from hypersdkd.web.errors import json_reply, large_reply
from hypersdkd.web.request import PAGE_LIMIT, artifact_number, events_query, job_id, job_query, log_lines


async def jobs(workflow: Workflow, request: web.Request) -> web.Response:
    """A page of jobs, filtered by the query; 304 for a client that has it."""
    return await _page(workflow, request, job_query(request))


async def active_jobs(workflow: Workflow, request: web.Request) -> web.Response:
    """The jobs that run now; the query does not matter."""
    states = frozenset({JobState.PROCESSING})
    return await _page(workflow, request, JobQuery(states=states, limit=PAGE_LIMIT))


async def job(workflow: Workflow, request: web.Request) -> web.Response:
    """One job whole."""
    return await large_reply(request, (await workflow.job(job_id(request))).as_dict)


async def job_events(workflow: Workflow, request: web.Request) -> web.Response:
    """A page of the journal of a job, all guests together."""
    page = await workflow.events(job_id(request), *events_query(request))
    return await large_reply(
        request, lambda: {"events": [event.as_dict() for event in page.events], "cursor": page.cursor}
    )


async def job_log(workflow: Workflow, request: web.Request) -> web.Response:
    """The end of a job's log: JSON, or the bare lines for ``Accept: text/plain``."""
    lines = await workflow.log(job_id(request), log_lines(request))
    if request.headers.get("Accept", "").partition(";")[0].strip().lower() == "text/plain":
        text = "".join(f"{line}\n" for line in lines)
        return web.Response(body=text.encode("utf-8", "replace"), content_type="text/plain", charset="utf-8")
    return await large_reply(request, lambda: {"lines": list(lines)})


async def job_report(workflow: Workflow, request: web.Request) -> web.Response:
    """The report of a job, or of what is done so far."""
    report = await workflow.report(job_id(request))
    return await large_reply(request, lambda: report)


async def job_artifacts(workflow: Workflow, request: web.Request) -> web.Response:
    """What the guests of a job read and left."""
    found = await workflow.artifacts(job_id(request))
    return await large_reply(request, lambda: {"artifacts": [artifact.as_dict() for artifact in found]})


async def job_artifact(workflow: Workflow, request: web.Request) -> web.Response:
    """One of them, as the file that it is; to be saved, not run, by whatever shows it."""
    found = await workflow.artifact(job_id(request), artifact_number(request))
    reply = web.Response(body=found.content, content_type=found.media_type)
    if found.media_type.startswith("text/"):
        reply.charset = "utf-8"
    plain = re.sub(r"[^\w.-]", "_", found.name, flags=re.ASCII)  # for clients that do not read RFC 8187, as curl
    reply.headers["Content-Disposition"] = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(found.name)}"
    return reply


async def cancel_job(workflow: Workflow, request: web.Request) -> web.Response:
    """Ask for the end of a job."""
    name = job_id(request)
    await workflow.cancel(name)
    return json_reply({"success": True, "job_id": name}, status=202)


async def retry_job(workflow: Workflow, request: web.Request) -> web.Response:
    """Put a failed or cancelled job back to pending."""
    name = job_id(request)
    await workflow.retry(name)
    return json_reply({"success": True, "job_id": name}, status=202)


async def _page(workflow: Workflow, request: web.Request, query: JobQuery) -> web.Response:
    tag = workflow.revision(query)  # before the page is made: what changes meanwhile has another tag
    if has_it(request, tag):
        return not_modified(tag)
    page = await workflow.jobs(query)

    def data() -> Mapping[str, object]:
        return {"jobs": [summary.as_dict() for summary in page.jobs], "total": page.total, "cursor": page.cursor}

    return tagged(await large_reply(request, data), tag)
