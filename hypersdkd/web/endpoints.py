"""The table of endpoints: routes, documentation and tests of the client all come from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from hypersdkd.spec.service import Workflow
from hypersdkd.web import jobs, manifests, state

Answer = Callable[[Workflow, web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. ``{id}`` in a path is a job's ID, percent-encoded; ``answer`` makes the reply."""

    method: str
    path: str
    summary: str
    answer: Answer

    @property
    def route(self) -> str:
        """The path in the router's spelling: an ID is anything but a slash (its default excludes braces)."""
        return self.path.replace("{id}", "{id:[^/]+}")


ENDPOINTS: Final = (
    Endpoint("GET", "/api/workflow/status", "The daemon and its queue in numbers", state.status),
    Endpoint("GET", "/api/workflow/jobs", "A page of jobs", jobs.jobs),
    Endpoint("GET", "/api/workflow/jobs/active", "The jobs that run now", jobs.active_jobs),
    Endpoint("GET", "/api/workflow/jobs/{id}", "One job whole", jobs.job),
    Endpoint("GET", "/api/workflow/jobs/{id}/events", "A job's journal", jobs.job_events),
    Endpoint("GET", "/api/workflow/jobs/{id}/log", "The end of a job's log", jobs.job_log),
    Endpoint("GET", "/api/workflow/jobs/{id}/report", "A job's report", jobs.job_report),
    Endpoint("POST", "/api/workflow/jobs/{id}/cancel", "End a job", jobs.cancel_job),
    Endpoint("POST", "/api/workflow/jobs/{id}/retry", "Put a failed or cancelled job back", jobs.retry_job),
    Endpoint("POST", "/api/workflow/manifest/validate", "Judge a manifest", manifests.validate_manifest),
    Endpoint("POST", "/api/workflow/manifest/submit", "Put a manifest into the queue", manifests.submit_manifest),
    Endpoint("GET", "/api/workflow/queue", "The drop directory, with reasons", state.queue),
    Endpoint("POST", "/api/workflow/pause", "Start nothing more", state.pause),
    Endpoint("POST", "/api/workflow/resume", "Go on after a pause", state.resume),
    Endpoint("GET", "/healthz", "Whether the daemon lives", state.healthy),
    Endpoint("GET", "/readyz", "Whether the daemon takes work", state.ready),
)
