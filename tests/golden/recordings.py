"""The recorded exchanges with the Go API, read from ``go-api.jsonl``."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PATH = Path(__file__).with_name("go-api.jsonl")
_MIB = 1024 * 1024
_PIPELINE = '{"load": {"source_type": "raw", "source_path": "/a"}, "convert": {"output_format": "raw"}}'

#: The bodies that the recordings describe instead of holding them.
_GENERATED = {
    "too-deep": lambda: '{"version":"1.0","x":' + "[" * 11_000 + "]" * 11_000 + "}",
    "over-10-MiB": lambda: '{"version":"1.0","pad":"' + "x" * (10 * _MIB) + '"}',
    "2-MiB": lambda: '{"version":"1.0","pad":"' + "x" * (2 * _MIB) + '"}',
    "name-255": lambda: '{"version": "1.0", "name": "' + "n" * 255 + f'", "pipeline": {_PIPELINE}}}',
}


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange. ``bug`` is the recorder's note that the answer is not to be copied."""

    name: str
    method: str
    path: str
    body: bytes
    status: int
    answer: object
    files_after: dict[str, str]
    bug: str


@cache
def exchanges() -> tuple[Exchange, ...]:
    """All of them, in the order recorded."""
    lines = _PATH.read_text(encoding="utf-8").splitlines()
    return tuple(_exchange(json.loads(line)) for line in lines)


def _exchange(raw: dict) -> Exchange:
    request, response = raw["request"], raw["response"]
    if "body_base64" in request:
        body = base64.b64decode(request["body_base64"])
    elif "body_generated" in request:
        body = _GENERATED[raw["name"].partition("-")[2]]().encode()
    else:
        body = (request.get("body") or "").encode()
    return Exchange(
        name=raw["name"],
        method=request["method"],
        path=request["path"],
        body=body,
        status=response["status"],
        answer=response["body"],
        files_after=raw.get("files_after", {}),
        bug=str(raw.get("bug", "")),
    )
