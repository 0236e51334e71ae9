"""The recorded exchanges of HyperSDK's Go API: setting up what they found, and comparing what they got."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

from hypersdkd.model.job import JobState

RECORDINGS = Path(__file__).parent / "go-api.jsonl"

#: The files of a recording were this old, in seconds.
AGE = 90

#: Bodies that the recordings describe instead of holding them.
GENERATED = {
    '{"version":"1.0","pad":} with 10 MiB of x as pad': b'{"version":"1.0","pad":"' + b"x" * 10 * 2**20 + b'"}',
    '{"version":"1.0","pad":} with 2 MiB of x as pad': b'{"version":"1.0","pad":"' + b"x" * 2 * 2**20 + b'"}',
    '{"version":"1.0","x":} with 11,000 nested lists as x': b'{"version":"1.0","x":'
    + b"[" * 11_000
    + b"]" * 11_000
    + b"}",
    "a valid manifest whose name is 255 n": json.dumps(
        {
            "version": "1.0",
            "name": "n" * 255,
            "pipeline": {
                "load": {"source_type": "vmdk", "source_path": "/srv/web01.vmdk"},
                "convert": {"output_format": "qcow2"},
            },
        }
    ).encode(),
}


def recordings() -> list[dict]:
    """All of them, in their order."""
    return [json.loads(line) for line in RECORDINGS.read_text(encoding="utf-8").splitlines()]


def body_of(request: Mapping) -> bytes | None:
    """The bytes that were sent."""
    if "body_base64" in request:
        return base64.b64decode(request["body_base64"])
    if "body_generated" in request:
        return GENERATED[request["body_generated"]]
    return request["body"].encode() if request["body"] is not None else None


def days(text: str) -> str:
    """``${TODAY}`` and ``${YESTERDAY}`` as local dates."""
    today = date.today()
    return text.replace("${TODAY}", str(today)).replace("${YESTERDAY}", str(today - timedelta(days=1)))


def set_up(base: Path, setup: Mapping[str, str | None]) -> None:
    """Make what a recording found below ``base``."""
    for name, content in setup.items():
        path = base / days(name)
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None and content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content or "")
            os.utime(path, (time.time() - AGE,) * 2)


def files_below(base: Path) -> dict[str, str]:
    """Every visible regular file's text, by its name below ``base``."""
    return {
        str(path.relative_to(base)): path.read_text(encoding="utf-8", errors="surrogateescape")
        for path in base.rglob("*")
        if path.is_file() and not path.is_symlink() and ".hypersdkd" not in path.parts
    }


def pattern(text: str, base: Path) -> str:
    """A regular expression for a recorded text with ``${BASE}`` and ``${TIMESTAMP}`` in it."""
    escaped = re.escape(text).replace(re.escape("${BASE}"), re.escape(str(base)))
    return escaped.replace(re.escape("${TIMESTAMP}"), r"\d{8}-\d{6}")


def differences(
    recording: Mapping, status: int, body: object, new_files: Mapping[str, str], base: Path
) -> Iterator[str]:
    """What of a reply is not as recorded, in words; nothing where all is well."""
    expected = recording["response"]
    if status != expected["status"]:
        yield f"status {status}, not {expected['status']}"
    elif isinstance(expected["body"], str) and expected["body"]:
        yield from _phrase(expected["body"].strip(), body)
    elif isinstance(expected["body"], dict):
        yield from _document(_tidy(expected["body"], recording["volatile"]), body, base)
    if recording.get("files_after") is not None:
        yield from _files(recording["files_after"], new_files, base)


def _phrase(phrase: str, body: object) -> Iterator[str]:
    """An error's words: whole, but for what a JSON parser says of its own."""
    if isinstance(body, str):
        if body.strip() != phrase:
            yield f"body {body!r}, not {phrase!r}"
        return
    if phrase.startswith("Invalid JSON: "):
        phrase = "Invalid JSON: "
    said = [body.get("detail", ""), *body.get("errors", [])] if isinstance(body, dict) else []
    if not any(phrase in text for text in said):
        yield f"{said} does not hold {phrase!r}"


def _tidy(body: dict, volatile: list[str]) -> dict:
    """The recorded object without what changes from run to run and what is never to be copied.

    null for an empty list, stage, progress, uptime and an echoed filter are bugs of the original.
    """
    tidied = {key: [] if value is None else value for key, value in body.items() if key != "uptime_seconds"}
    tidied = {
        key: value for key, value in tidied.items() if key in {"job_id", "manifest_path"} or f"/{key}" not in volatile
    }
    if tidied.get("jobs"):
        kept = ("id", "name", "status")
        rows = [{key: row[key] for key in kept} for row in tidied["jobs"]]
        states = [state.value for state in JobState]
        tidied["jobs"] = [
            {key: value for key, value in row.items() if key != "status" or value in states}
            for row in sorted(rows, key=lambda row: row["id"])
        ]
    return tidied


def _document(expected: dict, body: object, base: Path) -> Iterator[str]:
    """Ours may hold more keys; those recorded must be there with their values."""
    if not isinstance(body, dict):
        yield "not an object"
        return
    for key, value in expected.items():
        ours = body.get(key)
        if key == "jobs" and isinstance(ours, list):
            ours = sorted(ours, key=lambda row: row["id"])
            if len(ours) == len(value):
                ours = [{name: mine[name] for name in row} for row, mine in zip(value, ours, strict=True)]
            else:
                ours, value = [row["id"] for row in ours], [row["id"] for row in value]
        same = (
            re.fullmatch(pattern(value, base), ours)
            if isinstance(value, str) and isinstance(ours, str)
            else ours == value
        )
        if not same:
            yield f"{key} is {ours!r}, not {value!r}"


def _files(expected: Mapping[str, str], found: Mapping[str, str], base: Path) -> Iterator[str]:
    if len(expected) != len(found):
        yield f"files {sorted(found)}, not {sorted(expected)}"
        return
    for (name, content), (our_name, our_content) in zip(sorted(expected.items()), sorted(found.items()), strict=True):
        if not re.fullmatch(pattern(name, base), our_name):
            yield f"file {our_name!r}, not {name!r}"
        elif our_content != content:
            yield f"{our_name} holds {our_content!r}, not {content!r}"
