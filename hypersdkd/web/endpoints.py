"""The table of endpoints: routes, documentation, OpenAPI and tests of the client all come from it."""

from __future__ import annotations

from typing import Final

from hypersdkd.model.replies import SORTS
from hypersdkd.model.role import Role
from hypersdkd.web import jobs, live, manifests, openapi, state
from hypersdkd.web.endpoint import Endpoint, Parameter
from hypersdkd.web.request import LOG_LIMIT, LOG_LINES, PAGE_LIMIT, PAGE_ROWS, STATUS_WORDS, TEXT_LIMIT

_IF_NONE_MATCH: Final = Parameter("If-None-Match", "header", "The ETag of a reply that is at hand", {"type": "string"})

_LAST_EVENT_ID: Final = Parameter("Last-Event-ID", "header", "The last event that was heard", {"type": "string"})

_LIMIT: Final = Parameter(
    "limit", "query", "Rows at most", {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT, "default": PAGE_ROWS}
)
_CURSOR: Final = Parameter("cursor", "query", "What the page before gave", {"type": "string", "maxLength": TEXT_LIMIT})

_FILTERS: Final = (
    Parameter("status", "query", "Jobs in this state; without it processing", {"enum": list(STATUS_WORDS)}),
    Parameter("q", "query", "A part of the name, in any case", {"type": "string", "maxLength": TEXT_LIMIT}),
    Parameter("date", "query", "Jobs that ended on this local day", {"type": "string", "format": "date"}),
    Parameter("sort", "query", "Another order than the queue's; a dash turns it round", {"enum": list(SORTS)}),
    _LIMIT,
    _CURSOR,
    _IF_NONE_MATCH,
)

_LOG: Final = (
    Parameter(
        "lines",
        "query",
        "Lines at most",
        {"type": "integer", "minimum": 1, "maximum": LOG_LIMIT, "default": LOG_LINES},
    ),
)

_SUBMIT: Final = (
    Parameter("name", "query", "The name of a manifest that has none of its own", {"type": "string"}),
    Parameter(
        "Idempotency-Key",
        "header",
        "A second call with the same key and body gets the first one's reply",
        {"type": "string", "maxLength": TEXT_LIMIT},
    ),
)

#: What can be wrong with any document, or with the time that it comes at.
_DOCUMENT: Final = (
    "request-busy",
    "document-syntax",
    "document-shape",
    "document-too-large",
    "document-too-deep",
    "document-aliases",
    "document-duplicate-key",
)

#: What can be wrong with a manifest.
_MANIFEST: Final = (
    *_DOCUMENT,
    "manifest-version",
    "manifest-required",
    "manifest-type",
    "manifest-value",
    "manifest-unsupported",
    "manifest-too-many-guests",
    "manifest-duplicate-disk",
    "name-invalid",
    "queue-unusable",
    "plugin-failed",
    "rules-unavailable",
    "submission-unknown",
)

#: What can keep a source from being looked at.
_SOURCE: Final = (
    *_DOCUMENT,
    "name-invalid",
    "source-missing",
    "source-outside",
    "source-not-regular",
    "source-unreadable",
    "source-busy",
    "source-changed",
    "source-checksum",
    "source-incomplete",
    "source-type-unknown",
    "source-type-mismatch",
    "image-empty",
    "image-truncated",
    "image-invalid",
    "image-snapshots",
    "image-backing",
    "image-parent-mismatch",
    "image-encrypted",
    "image-unsupported",
    "image-limits",
    "tool-missing",
    "tool-failed",
    "tool-timeout",
    "step-failed",
    "worker-flooded",
    "request-busy",
    "no-space",
)

_UNKNOWN: Final = ("job-unknown",)
_STATE: Final = ("job-unknown", "job-state")
_STORED: Final = ("queue-observed", "queue-unusable")
_CHANGE: Final = (*_STATE, *_STORED)
_TEXT_TOO: Final = ("application/json", "text/plain")
_ARTIFACTS: Final = ("image/png", "application/xml", "application/json", "text/plain", "application/octet-stream")
_JOB: Final = "/api/workflow/jobs/{id}"
_MANIFESTS: Final = "/api/workflow/manifest"

ENDPOINTS: Final = (
    Endpoint(
        "GET",
        "/api/workflow/status",
        "The daemon and its queue in numbers",
        state.status,
        "Status",
        parameters=(_IF_NONE_MATCH,),
    ),
    Endpoint("GET", "/api/workflow/jobs", "A page of jobs", jobs.jobs, "JobPage", parameters=_FILTERS),
    Endpoint(
        "GET",
        "/api/workflow/jobs/active",
        "The jobs that run now",
        jobs.active_jobs,
        "JobPage",
        parameters=(_IF_NONE_MATCH,),
    ),
    Endpoint("GET", _JOB, "One job whole", jobs.job, "JobDetail", errors=_UNKNOWN),
    Endpoint(
        "GET",
        f"{_JOB}/events",
        "A job's journal",
        jobs.job_events,
        "Events",
        parameters=(_LIMIT, _CURSOR),
        errors=_UNKNOWN,
    ),
    Endpoint(
        "GET",
        f"{_JOB}/log",
        "The end of a job's log",
        jobs.job_log,
        "Log",
        parameters=_LOG,
        errors=_UNKNOWN,
        media_types=_TEXT_TOO,
    ),
    Endpoint("GET", f"{_JOB}/report", "A job's report", jobs.job_report, "Report", errors=(*_STATE, "not-found")),
    Endpoint("GET", f"{_JOB}/artifacts", "What a job read and left", jobs.job_artifacts, "Artifacts", errors=_UNKNOWN),
    Endpoint(
        "GET",
        f"{_JOB}/artifacts/{{n}}",
        "One artifact itself",
        jobs.job_artifact,
        "Binary",
        errors=(*_UNKNOWN, "artifact-unknown", "artifact-unavailable"),
        media_types=_ARTIFACTS,
    ),
    Endpoint("POST", f"{_JOB}/cancel", "End a job", jobs.cancel_job, "JobAccepted", 202, errors=_CHANGE),
    Endpoint(
        "POST",
        f"{_JOB}/retry",
        "Put a failed or cancelled job back",
        jobs.retry_job,
        "JobAccepted",
        202,
        errors=_CHANGE,
    ),
    Endpoint(
        "POST",
        f"{_MANIFESTS}/validate",
        "Judge a manifest, in disk mode also a job config",
        manifests.validate_manifest,
        "Validation",
        body="Document",
        errors=(*_DOCUMENT, "rules-unavailable"),
        refusal="ManifestError",
        role=Role.READ,
    ),
    Endpoint(
        "POST",
        f"{_MANIFESTS}/submit",
        "Put a manifest into the queue, in disk mode also a job config",
        manifests.submit_manifest,
        "Receipt",
        body="Document",
        parameters=_SUBMIT,
        errors=_MANIFEST,
        refusal="ManifestError",
    ),
    Endpoint(
        "POST",
        f"{_MANIFESTS}/generate",
        "A manifest for a disk that the daemon can see",
        manifests.generate_manifest,
        "Manifest",
        body="ManifestRequest",
        errors=_SOURCE,
    ),
    Endpoint("GET", f"{_MANIFESTS}/schema", "The JSON Schema of manifests", manifests.manifest_schema, "JSONSchema"),
    Endpoint(
        "GET",
        "/api/workflow/job-config/schema",
        "The JSON Schema of job configs",
        manifests.schema_of_job_configs,
        "JSONSchema",
    ),
    Endpoint(
        "GET",
        "/api/workflow/queue",
        "The drop directory, with reasons",
        state.queue,
        "Queue",
        parameters=(_LIMIT,),
        errors=("plugin-failed",),
    ),
    Endpoint(
        "GET",
        "/api/workflow/events",
        "Every change, live",
        live.live_events,
        "Text",
        parameters=(_LAST_EVENT_ID,),
        media_types=("text/event-stream",),
    ),
    Endpoint("POST", "/api/workflow/pause", "Start nothing more", state.pause, "Paused", 202, errors=_STORED),
    Endpoint("POST", "/api/workflow/resume", "Go on after a pause", state.resume, "Paused", 202, errors=_STORED),
    Endpoint("GET", "/healthz", "Whether the daemon lives", state.healthy, "Probe", role=Role.ANYONE),
    Endpoint(
        "GET",
        "/readyz",
        "Whether the daemon takes work",
        state.ready,
        "Probe",
        errors=("not-ready",),
        role=Role.ANYONE,
    ),
    Endpoint("GET", "/api/openapi.json", "The API as an OpenAPI document", openapi.openapi, "OpenAPI"),
    Endpoint("GET", "/api/docs", "The API as a page", openapi.docs, "Text", media_types=("text/html",)),
)
