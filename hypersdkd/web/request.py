"""What a request asks for, checked: nothing of a request reaches the workflow without passing here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Final

from aiohttp import web

from hypersdkd.model.document import parse_document
from hypersdkd.model.guest import OUTPUT_FORMATS
from hypersdkd.model.job import JobState
from hypersdkd.model.manifest_draft import ManifestWish
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.replies import SORTS, JobQuery

#: Largest body in bytes: the limit of the Go API, and of a manifest.
BODY_LIMIT: Final = 10 * 1024 * 1024

#: Seconds within which a body must have arrived: 10 MiB at 170 KiB/s.
BODY_SECONDS: Final = 60.0

#: Bodies above this many bytes, or of unknown length, that are read at once: they bound what bodies take of memory.
LARGE_BODY: Final = 64 << 10
LARGE_BODIES: Final = 4

#: Rows a page may hold, and how many it holds when nothing is said.
PAGE_LIMIT: Final = 10_000
PAGE_ROWS: Final = JobQuery().limit

#: Lines of a log that may be asked for, and how many are sent when nothing is said.
LOG_LIMIT: Final = 100_000
LOG_LINES: Final = 200

#: Longest ``Idempotency-Key``, ``q`` and ``cursor``, in characters: room for any UUID, hash or file name.
TEXT_LIMIT: Final = 255

#: Words of ``?status=``. ``all`` is no filter; ``active`` is the Go API's other word for ``processing``.
STATUS_WORDS: Final[Mapping[str, frozenset[JobState]]] = {
    **{state.value: frozenset({state}) for state in JobState},
    "active": frozenset({JobState.PROCESSING}),
    "all": frozenset(),
}

#: What a request for a manifest may say.
_REQUEST_TYPES: Final[Mapping[str, type]] = {
    "source_path": str,
    "output_format": str,
    "compress": bool,
    "checksums": bool,
    "inspect": bool,
}

#: Digits of an artifact's number: a job has 10,000 guests of 256 disks at most.
_NUMBER_DIGITS: Final = 9

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class Bodies:
    """Counts the large bodies that are being read."""

    def __init__(self) -> None:
        self._reading = 0

    @contextmanager
    def room_for(self, length: int | None) -> Iterator[None]:
        """While a body of ``length`` bytes (``None``: not known) is read. Raises ``request-busy``."""
        large = length is None or length > LARGE_BODY
        if large and self._reading >= LARGE_BODIES:
            problem = Problem("request-busy", f"{LARGE_BODIES} large bodies are being read already")
            raise ProblemError(problem, retry_after=1.0)
        self._reading += large
        try:
            yield
        finally:
            self._reading -= large


#: Where an application keeps its count.
BODIES: Final = web.AppKey("bodies", Bodies)


def job_id(request: web.Request) -> str:
    """The job that the path names. ``job-unknown`` for a text that no file name can be."""
    text = request.match_info["id"]
    if "/" in text or "\0" in text or text in {".", ".."}:
        raise fail("job-unknown", "There is no such job.")
    return text


def job_query(request: web.Request) -> JobQuery:
    """The filter of a job list. Of a word that is given twice the first counts, as in the Go API."""
    word = request.query.get("status", "") or JobState.PROCESSING.value
    if word not in STATUS_WORDS:
        raise fail("request-invalid", f"status must be one of: {', '.join(STATUS_WORDS)}", path="status")
    return JobQuery(
        states=STATUS_WORDS[word],
        q=_text(request, "q"),
        date=_date(request),
        limit=_number(request, "limit", default=PAGE_ROWS, highest=PAGE_LIMIT),
        cursor=_text(request, "cursor"),
        sort=_sort(request),
    )


def queue_limit(request: web.Request) -> int:
    """How many entries of each list of the queue are wanted: ``?limit=N``."""
    return _number(request, "limit", default=PAGE_ROWS, highest=PAGE_LIMIT)


def events_query(request: web.Request) -> tuple[int, str]:
    """How many events are wanted, and after which: ``?limit=N&cursor=C``."""
    return _number(request, "limit", default=PAGE_ROWS, highest=PAGE_LIMIT), _text(request, "cursor")


def log_lines(request: web.Request) -> int:
    """How many lines of a log are wanted: ``?lines=N``."""
    return _number(request, "lines", default=LOG_LINES, highest=LOG_LIMIT)


def artifact_number(request: web.Request) -> int:
    """The artifact that the path names. ``artifact-unknown`` for what no number of one can be."""
    text = request.match_info["n"]
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS):
        raise fail("artifact-unknown", "There is no such artifact.")
    return int(text)


def idempotency_key(request: web.Request) -> str:
    """The ``Idempotency-Key``, or empty. ``request-invalid`` when it is over-long or not printable."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > TEXT_LIMIT or not key.isprintable():
        raise fail("request-invalid", f"Idempotency-Key must be at most {TEXT_LIMIT} printable characters")
    return key


def manifest_wish(text: bytes) -> ManifestWish:
    """The body of a request for a manifest, JSON or YAML. Raises ``document-…`` and ``request-invalid``."""
    given = parse_document(text).value
    for key, value in given.items():
        if key not in _REQUEST_TYPES:
            raise fail("request-invalid", f"{key} is none of: {', '.join(_REQUEST_TYPES)}", path=key)
        if not isinstance(value, _REQUEST_TYPES[key]):
            raise fail("request-invalid", f"{key} is not of the type it should have", path=key)
    path = given.get("source_path")
    if not isinstance(path, str) or not path:
        raise fail("request-invalid", "source_path is required", path="source_path")
    output_format = str(given.get("output_format", OUTPUT_FORMATS[0]))
    if output_format not in OUTPUT_FORMATS:
        raise fail(
            "request-invalid", f"output_format must be one of: {', '.join(OUTPUT_FORMATS)}", path="output_format"
        )
    return ManifestWish(
        path,
        output_format,
        compress=given.get("compress", True) is True,
        checksums=given.get("checksums", False) is True,
        inside=given.get("inspect", False) is True,
    )


async def read_body(request: web.Request) -> bytes:
    """The whole body, as sent. It is never decompressed: a small body must not become a large one.

    Raises ``request-invalid`` for an encoded or slow body, ``document-too-large`` above 10 MiB, and ``request-busy``.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        raise fail(
            "request-invalid",
            "Invalid JSON: the body is compressed",
            remedy="Send the document as it is, without Content-Encoding.",
        )
    too_large = fail("document-too-large", "Failed to read request: the body is larger than 10 MiB")
    if (request.content_length or 0) > BODY_LIMIT:
        raise too_large
    try:
        with request.app[BODIES].room_for(request.content_length):
            async with asyncio.timeout(BODY_SECONDS):
                return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except TimeoutError:
        raise fail(
            "request-invalid", f"Failed to read request: the body did not arrive in {BODY_SECONDS:.0f} s"
        ) from None


def _number(request: web.Request, key: str, *, default: int, highest: int) -> int:
    text = request.query.get(key, "")
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(highest)) else 0
    if not 1 <= number <= highest:
        raise fail("request-invalid", f"{key} must be a whole number from 1 to {highest}", path=key)
    return number


def _text(request: web.Request, key: str) -> str:
    text = request.query.get(key, "")
    if len(text) > TEXT_LIMIT:
        raise fail("request-invalid", f"{key} must be at most {TEXT_LIMIT} characters", path=key)
    return text


def _sort(request: web.Request) -> str:
    sort = request.query.get("sort", "")
    if sort and sort not in SORTS:
        raise fail("request-invalid", f"sort must be one of: {', '.join(SORTS)}", path="sort")
    return sort


def _date(request: web.Request) -> str:
    text = request.query.get("date", "")
    try:
        if text and not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise fail("request-invalid", "date must be a day, as YYYY-MM-DD", path="date") from None
