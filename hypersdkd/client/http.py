"""A daemon over HTTP, for programs that start, ask once and end: the standard library's client only.

Importing aiohttp costs 170 ms, this 20.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from hypersdkd.client.address import Address
from hypersdkd.client.credentials import Credentials
from hypersdkd.model.problem import Problem, ProblemError, fail

#: Seconds that a daemon may take for one reply: that of the Go client.
TIMEOUT: Final = 30.0

#: Bytes of a reply that are read at most. A page of 10,000 jobs has 3 MB.
REPLY_LIMIT: Final = 64 * 1024 * 1024

Reply = dict[str, object]


class DaemonRefusedError(ProblemError):
    """The daemon answered with an error. ``problem`` stands for it; ``problems`` are all of them.

    ``status`` is the HTTP status, ``reply`` the whole document (empty when it was not JSON).
    """

    def __init__(self, status: int, reply: Reply, problem: Problem) -> None:
        super().__init__(problem)
        self.status = status
        self.reply = reply
        listed = reply.get("problems")
        found = (
            [Problem.from_dict(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        )
        self.problems: tuple[Problem, ...] = tuple(found) or (problem,)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon at ``address``. Each call makes a connection of its own and returns the reply's object.

    Every method raises ``ProblemError``: ``daemon-unreachable`` when nothing (or something else) answers
    there, ``daemon-untrusted`` for a certificate that is not trusted, and :class:`DaemonRefusedError` with the daemon's
    own code when it refuses.
    """

    address: Address
    timeout: float = TIMEOUT
    credentials: Credentials = field(default_factory=Credentials)

    def status(self) -> Reply:
        """The daemon and its queue in numbers."""
        return self._get("/api/workflow/status")

    def jobs(self, status: str = "all", *, q: str = "", date: str = "", limit: int = 0, cursor: str = "") -> Reply:
        """A page of jobs: ``jobs``, ``total``, ``cursor``."""
        query = {"status": status, "q": q, "date": date, "limit": str(limit or ""), "cursor": cursor}
        return self._get("/api/workflow/jobs", query)

    def active_jobs(self) -> Reply:
        """The jobs that run now, in the same shape."""
        return self._get("/api/workflow/jobs/active")

    def job(self, job_id: str) -> Reply:
        """One job whole."""
        return self._get(_job_path(job_id))

    def job_events(self, job_id: str) -> Reply:
        """A job's journal: ``events``."""
        return self._get(_job_path(job_id) + "/events")

    def job_log(self, job_id: str, lines: int = 200) -> Reply:
        """The end of a job's log: ``lines``."""
        return self._get(_job_path(job_id) + "/log", {"lines": str(lines)})

    def job_report(self, job_id: str) -> Reply:
        """A job's report."""
        return self._get(_job_path(job_id) + "/report")

    def job_artifacts(self, job_id: str) -> Reply:
        """What a job read and left: ``artifacts``."""
        return self._get(_job_path(job_id) + "/artifacts")

    def job_artifact(self, job_id: str, number: int) -> bytes:
        """One of them itself."""
        status, text = self._exchange("GET", f"{_job_path(job_id)}/artifacts/{number}", None, {"Accept": "*/*"})
        if status != 200:
            raise _refused(status, _object(text) or {}, text)
        return text

    def cancel_job(self, job_id: str) -> Reply:
        """End a job."""
        return self._post(_job_path(job_id) + "/cancel")

    def retry_job(self, job_id: str) -> Reply:
        """Put a failed or cancelled job back."""
        return self._post(_job_path(job_id) + "/retry")

    def validate_manifest(self, text: bytes) -> Reply:
        """Judge a manifest: ``valid``, ``errors``, ``problems``, ``warnings``. Raises when it cannot be read."""
        return self._post("/api/workflow/manifest/validate", text)

    def submit_manifest(self, text: bytes, idempotency_key: str = "", name: str = "") -> Reply:
        """Put a manifest into the queue: ``job_id``, ``manifest_path``. ``name`` is for one that has none."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        query = f"?{urlencode({'name': name})}" if name else ""
        return self._post(f"/api/workflow/manifest/submit{query}", text, headers)

    def generate_manifest(
        self, source_path: str, output_format: str = "", *, compress: bool = True, **more: bool
    ) -> Reply:
        """A manifest for a source that the daemon can see; without a format in the daemon's usual one. ``more`` are
        ``checksums`` and ``inspect``."""
        asked = {"source_path": source_path, "output_format": output_format or None, "compress": compress, **more}
        given = {key: value for key, value in asked.items() if value is not None}
        return self._post("/api/workflow/manifest/generate", json.dumps(given).encode())

    def manifest_schema(self) -> Reply:
        """The JSON Schema of manifests."""
        return self._get("/api/workflow/manifest/schema")

    def job_config_schema(self) -> Reply:
        """The JSON Schema of job configs."""
        return self._get("/api/workflow/job-config/schema")

    def openapi(self) -> Reply:
        """The OpenAPI document of the daemon's API."""
        return self._get("/api/openapi.json")

    def queue(self) -> Reply:
        """The drop directory: ``pending``, ``waiting``, ``ignored``, ``foreign``, ``counts``."""
        return self._get("/api/workflow/queue")

    def live_events(
        self, last_id: str = "", opened: Callable[[Callable[[], None]], None] = lambda hang_up: None
    ) -> Iterator[tuple[str, str, Reply]]:
        """Every change as it happens: its ID, its kind (``model.change.Change``) and its data.

        Ends when the daemon ends it; go on with the last ID. ``daemon-unreachable`` when nothing came for long.
        ``opened`` is called once the connection is open with what ends it, from whatever thread.
        """
        with self._connected() as connection:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
            headers |= self.credentials.headers(self.address)
            connection.request("GET", f"{self.address.prefix}/api/workflow/events", headers=headers)
            opened(partial(_shut, connection.sock))
            with connection.getresponse() as response:
                if response.status != 200:
                    text = response.read(REPLY_LIMIT)
                    raise _refused(response.status, _object(text) or {}, text)
                if response.headers.get_content_type() != "text/event-stream":
                    raise fail("not-found", f"What answers at {self.address} has no live events")
                yield from _changes(response)

    def pause(self) -> Reply:
        """Start nothing more."""
        return self._post("/api/workflow/pause")

    def resume(self) -> Reply:
        """Go on after a pause."""
        return self._post("/api/workflow/resume")

    def healthy(self) -> Reply:
        """Whether the daemon lives."""
        return self._get("/healthz")

    def ready(self) -> Reply:
        """Whether the daemon takes work; ``not-ready`` says why it does not."""
        return self._get("/readyz")

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        given = {key: value for key, value in (query or {}).items() if value}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path, None, {})

    def _post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        return self._call("POST", path, body, headers or {})

    def _call(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        status, text = self._exchange(method, path, body, headers)
        reply = _object(text)
        if status >= 400:
            raise _refused(status, reply or {}, text)
        if reply is None or status >= 300:
            raise self._unreachable("what answers there is not hypersdkd")
        return reply

    def _exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        with self._connected() as connection:
            shown = {"Accept": "application/json", **headers, **self.credentials.headers(self.address)}
            connection.request(method, self.address.prefix + path, body, shown)
            with connection.getresponse() as response:
                text = response.read(REPLY_LIMIT + 1)
                if response.length:
                    raise http.client.IncompleteRead(text[:0], response.length)
            return response.status, text

    @contextmanager
    def _connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection, closed in the end; whatever keeps it from working is ``daemon-unreachable``."""
        connection = _connect(self.address, self.timeout, self.credentials)
        try:
            yield connection
        except PermissionError as error:
            raise self._forbidden() from error
        except ssl.SSLCertVerificationError as error:
            message = f"The certificate of {self.address} is not trusted: {error.verify_message}"
            raise fail("daemon-untrusted", message) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _forbidden(self) -> ProblemError:
        """The daemon may well be there; TCP to loopback is never forbidden so."""
        try:
            group = f"group {Path(self.address.socket).group()}"
        except (OSError, KeyError):
            group = "group"
        return fail(
            "daemon-unreachable",
            f"You may not open the socket {self.address.socket or self.address}",
            remedy=f"Join the socket's {group} (`usermod -aG`, then log in again), or name a TCP address by --url.",
        )

    def _unreachable(self, why: str) -> ProblemError:
        return fail("daemon-unreachable", f"No daemon answers at {self.address}: {why}")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connect(address: Address, timeout: float, credentials: Credentials) -> http.client.HTTPConnection:
    if address.socket:
        return _UnixConnection(address.socket, timeout)
    if address.secure:
        context = credentials.context()
        return http.client.HTTPSConnection(address.host, address.port, timeout=timeout, context=context)
    return http.client.HTTPConnection(address.host, address.port, timeout=timeout)


def _shut(connection: socket.socket) -> None:
    """End a connection that another thread reads: it reads an end. Below TLS, whose own end it could not stand."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _changes(response: http.client.HTTPResponse) -> Iterator[tuple[str, str, Reply]]:
    """The events of a stream: fields a line, an empty line after each event, comments in between."""
    fields: dict[str, str] = {}
    while line := response.readline(REPLY_LIMIT):
        text = line.decode("utf-8").rstrip("\r\n")
        if not text and "data" in fields:
            yield fields.get("id", ""), fields.get("event", "message"), _object(fields["data"].encode()) or {}
        name, _, value = text.partition(": ")
        fields = {**fields, name: value} if text else {}


def _job_path(job_id: str) -> str:
    return f"/api/workflow/jobs/{quote(job_id, safe='', errors='surrogateescape')}"


def _object(text: bytes) -> Reply | None:
    try:
        value = json.loads(text) if len(text) <= REPLY_LIMIT else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


#: Codes for error replies that carry none: those of the Go API, or of a proxy on the way.
_CODES: Final[Mapping[int, str]] = {
    401: "token-required",
    403: "request-refused",
    404: "not-found",
    405: "method-not-allowed",
}


def _refused(status: int, reply: Reply, text: bytes) -> DaemonRefusedError:
    code = str(reply.get("code") or _CODES.get(status, "internal" if status >= 500 else "request-invalid"))
    plain = text[:500].decode("utf-8", "replace").strip() if not reply else ""
    if plain.startswith("<"):
        plain = f"A page answers there, not the API: HTTP status {status}"
    message = str(reply.get("detail") or plain or f"HTTP status {status}")
    listed = reply.get("problems")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    detail, path = (str(first.get(key) or "") for key in ("detail", "path"))
    return DaemonRefusedError(status, reply, Problem(code, message, detail, str(reply.get("remedy") or ""), path))
