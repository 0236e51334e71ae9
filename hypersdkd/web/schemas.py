"""JSON Schemas of what the API takes and sends, by the names that endpoints use.

Replies may get new fields at any time, so no schema forbids any. Times are RFC 3339 in UTC, sizes bytes, durations
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypersdkd.model import job_config
from hypersdkd.model.guest import OUTPUT_FORMATS
from hypersdkd.model.job import JobState
from hypersdkd.model.manifest import json_schema
from hypersdkd.model.replies import JOB_CONFIG, MANIFEST

Schema = dict[str, object]

#: Where schemas lie in an OpenAPI document.
COMPONENTS: Final = "#/components/schemas/"


def components() -> dict[str, Schema]:
    """Every schema by its name, those of manifests and job configs included, which come from their models."""
    schemas = dict(_SCHEMAS)
    for name, schema in (
        ("Manifest", json_schema(COMPONENTS + "{model}")),
        ("JobConfig", job_config.json_schema(COMPONENTS + "{model}")),
    ):
        definitions = schema.pop("$defs")
        assert isinstance(definitions, dict)
        del schema["$schema"]
        schemas.update({**definitions, name: schema})
    return schemas


def _text(meaning: str = "", **more: object) -> Schema:
    return {"type": "string", **({"description": meaning} if meaning else {}), **more}


def _whole(meaning: str = "") -> Schema:
    return {"type": "integer", **({"description": meaning} if meaning else {})}


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": COMPONENTS + name}


def _object(properties: Mapping[str, Schema], *optional: str) -> Schema:
    """An object; all its properties are there but the ``optional`` ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


_BOOLEAN: Final[Schema] = {"type": "boolean"}
_TIME: Final = _text(format="date-time")
_STATE: Final = _text(enum=[state.value for state in JobState])

_TAKEN_FOR: Final = _text("What the document was taken for", enum=[MANIFEST, JOB_CONFIG])

_PROBLEM: Final = _object(
    {
        "code": _text("Stable; docs/problems.md lists them"),
        "path": _text("The place in the document, empty if there is none"),
        "message": _text(),
        "detail": _text(),
        "remedy": _text("What to do; never empty"),
        "hint": _text("The same as remedy"),
    }
)

_ERROR: Final[Mapping[str, Schema]] = {
    "type": _text(format="uri"),
    "title": _text("What the code means"),
    "status": _whole("The HTTP status"),
    "detail": _text("What happened"),
    "code": _text("Stable; docs/problems.md lists them"),
    "remedy": _text("What to do; never empty"),
    "problems": _list(_ref("Problem")),
}

_STATUS: Final[Mapping[str, Schema]] = {
    "mode": _text(enum=["manifest", "disk"]),
    "running": _BOOLEAN,
    "queue_depth": _whole("Files that are for us and not claimed yet"),
    "active_jobs": _whole("Files in processing/"),
    "processed_today": _whole(),
    "failed_today": _whole(),
    "max_workers": _whole(),
    "uptime_seconds": _whole(),
    "cancelled_today": _whole(),
    "waiting": _whole("Of the queue those that cannot be claimed yet"),
    "paused": _BOOLEAN,
    "draining": _BOOLEAN,
    "workers_running": _whole(),
    "executor": _text("observe: another daemon works the queue"),
    "version": _text(),
    "mode_reason": _text(),
    "base_dir": _text(),
    "missing_directories": _list(_text("Of the queue; whoever works it makes them")),
    "disk": _object({"free_bytes": _whole()}),
    "eta_seconds": _maybe(_whole("The longest of the running guests")),
    "last_error": _text(),
    "config": _object(
        {
            "path": _maybe(_text("The file that is in force; null: there was none")),
            "loaded_at": _TIME,
            "problems": _list(_ref("Problem")),
            "needs_restart": _list(_text()),
        }
    ),
    "workers_unconfined": _text(
        "What a hostile image could make a worker do, as the kernel cannot confine it; or empty"
    ),
    "plugins": _list(_ref("Plugin")),
}

_ROW: Final[Mapping[str, Schema]] = {
    "id": _text(),
    "name": _text(),
    "stage": _text(),
    "progress": _whole("Percent"),
    "started_at": _maybe(_TIME),
    "elapsed_seconds": _whole(),
    "status": _STATE,
    "finished_at": _maybe(_TIME),
    "foreign": {"type": "boolean", "description": "Another daemon's"},
    "date": _text("Of an ended job the local day, YYYY-MM-DD; else empty"),
    "error": _text(),
    "vms_total": _whole(),
    "vms_ended": _whole(),
    "vms": _list(_ref("Guest")),
}

_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Object": {"type": "object"},
    "Problem": _PROBLEM,
    "Error": _object(_ERROR),
    "ManifestError": _object(
        {**_ERROR, "valid": _BOOLEAN, "success": _BOOLEAN, "errors": _list(_text()), "taken_for": _TAKEN_FOR},
        "taken_for",
    ),
    "Document": {"anyOf": [_ref("Manifest"), _ref("JobConfig")]},
    "Status": _object(_STATUS, *list(_STATUS)[8:]),  # the rest is the status plugin's
    "Plugin": _object(
        {
            "name": _text(),
            "source": _text(),
            "state": _text(),
            "version": _text(),
            "hooks": _list(_text()),
            "errors": _whole(),
            "problem": {"anyOf": [_ref("Problem"), {"type": "null"}]},
        }
    ),
    "Job": _object(_ROW),
    "Guest": _object(
        {
            "vm": _text(),
            "status": _STATE,
            "stage": _text(),
            "percent": _whole(),
            "bytes_done": _maybe(_whole()),
            "bytes_total": _maybe(_whole()),
            "bytes_per_second": _maybe(_whole()),
            "eta_seconds": _maybe(_whole()),
        }
    ),
    "JobPage": _object({"jobs": _list(_ref("Job")), "total": _whole("All that match"), "cursor": _text()}),
    "JobDetail": _object(
        {
            **_ROW,
            "path": _text(),
            "original_name": _text(),
            "attempts": _whole(),
            "claimed_at": _maybe(_TIME),
            "problem": {"anyOf": [_ref("Problem"), {"type": "null"}]},
            "companions": _list(_text()),
        }
    ),
    "Events": _object({"events": _list(_ref("Event")), "cursor": _text("Empty on the last page")}),
    "Event": _object(
        {"seq": _whole(), "time": _TIME, "vm": _text(), "stage": _text(), "type": _text("docs/events.md lists them")}
    ),
    "Log": _object({"lines": _list(_text())}),
    "Report": {
        "type": "object",
        "description": "The record beside an ended job; docs/schemas has a schema of each kind",
        "properties": {"id": _text(), "job_id": _text(), "status": _text()},
        "required": ["status"],
    },
    "Artifacts": _object({"artifacts": _list(_ref("Artifact"))}),
    "Artifact": _object(
        {
            "number": _whole("Counted from 0"),
            "vm": _text(),
            "kind": _text("docs/events.md lists them"),
            "path": _text("On the daemon's host"),
            "bytes": _maybe(_whole()),
            "media_type": _maybe(_text()),
        }
    ),
    "Binary": {"type": "string", "format": "binary"},
    "JobAccepted": _object({"success": _BOOLEAN, "job_id": _text()}),
    "Validation": _object(
        {
            "valid": _BOOLEAN,
            "errors": _list(_text()),
            "problems": _list(_ref("Problem")),
            "warnings": _list(_ref("Problem")),
            "taken_for": _TAKEN_FOR,
        }
    ),
    "Receipt": _object({"success": _BOOLEAN, "manifest_path": _text(), "job_id": _text()}),
    "ManifestRequest": {
        **_object(
            {
                "source_path": _text("Absolute, as the daemon sees it", minLength=1),
                "output_format": _text(enum=list(OUTPUT_FORMATS), default=OUTPUT_FORMATS[0]),
                "compress": {"type": "boolean", "default": True},
                "checksums": {"type": "boolean", "default": False},
                "inspect": {"type": "boolean", "default": False},
            },
            "output_format",
            "compress",
            "checksums",
            "inspect",
        ),
        "additionalProperties": False,
    },
    "JSONSchema": {"type": "object", "description": "A JSON Schema, 2020-12"},
    "Queue": _object(
        {
            "pending": _list(_ref("QueueEntry")),
            "waiting": _list(_ref("QueueEntry")),
            "ignored": _list(_ref("QueueEntry")),
            "foreign": _list(_ref("QueueEntry")),
            "counts": {"type": "object", "additionalProperties": _whole("Jobs")},
            "left_out": {"type": "object", "additionalProperties": _whole("Entries beyond the limit")},
        }
    ),
    "QueueEntry": _object({"name": _text(), "reason": _text(), "size": _whole(), "since": _TIME}),
    "Paused": _object({"success": _BOOLEAN, "paused": _BOOLEAN}),
    "Probe": _object({"status": _text()}),
    "OpenAPI": {"type": "object", "description": "An OpenAPI document, 3.1"},
    "Text": _text(),
}
