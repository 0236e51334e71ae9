"""What a request may ask, and what is refused before the workflow hears of it."""

from __future__ import annotations

import asyncio
import gzip
import os
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.model.job import JobState
from hypersdkd.model.replies import JobQuery
from hypersdkd.web import request as module
from tests.web.raw import ask, connect, read_reply

JOBS = "/api/workflow/jobs"
SUBMIT = "/api/workflow/manifest/submit"
VALIDATE = "/api/workflow/manifest/validate"


def state(*names: str) -> frozenset[JobState]:
    return frozenset(JobState(name) for name in names)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", JobQuery(state("processing"))),
        ("?status=", JobQuery(state("processing"))),
        ("?status=active", JobQuery(state("processing"))),
        ("?status=pending&status=failed", JobQuery(state("pending"))),
        ("?status=all", JobQuery()),
        ("?status=cancelled&unknown=1", JobQuery(state("cancelled"))),
        (
            "?status=all&q=a%20b&date=2026-01-02&limit=10000&cursor=x&sort=-name",
            JobQuery(q="a b", date="2026-01-02", limit=10000, cursor="x", sort="-name"),
        ),
    ],
)
async def test_job_queries(url, workflow, query, expected):
    assert (await ask(url, "GET", JOBS + query)).status == 200
    assert workflow.calls == [("jobs", expected)]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("status=bogus", "pending, processing, completed, failed, cancelled, active, all"),
        ("status=PENDING", "status"),
        ("status=../../", "status"),
        ("sort=size", "name, -name, time, -time"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("date=2026-13-01", "date"),
        ("date=20260101", "date"),
        ("date=2026-W01-1", "date"),
        ("q=" + "x" * 256, "q must"),
        ("cursor=" + "x" * 256, "cursor"),
    ],
)
async def test_bad_job_queries(url, workflow, query, word):
    reply = await ask(url, "GET", f"{JOBS}?{query}")
    assert (reply.status, reply.json["code"]) == (400, "request-invalid")
    assert word in reply.json["detail"]
    assert workflow.calls == []


@pytest.mark.parametrize(
    "name", ["web01.json", "a\nb {x} ünï.json", "-rf", "a%b.json", "100%25", "active.json", "a?b#c", "{id}"]
)
async def test_job_ids_arrive_as_they_are(url, workflow, name):
    await ask(url, "GET", f"{JOBS}/{quote(name, safe='')}/events")
    assert workflow.calls == [("events", name, 1000, "")]


@pytest.mark.parametrize("name", ["a%2Fb", "%2e%2e", "%2E", "..%2f..%2fetc%2fpasswd", "a%00b"])
async def test_ids_that_no_file_name_can_be(url, workflow, name):
    reply = await ask(url, "POST", f"{JOBS}/{name}/cancel")
    assert (reply.status, reply.json["code"]) in {(404, "job-unknown"), (404, "not-found")}
    assert workflow.calls == []


@pytest.mark.parametrize("name", ["%ff.json", "%zz", "%"])
async def test_ids_that_are_not_well_encoded_are_unknown(url, name):
    assert (await ask(url, "GET", f"{JOBS}/{name}")).status in {400, 404}


@pytest.mark.parametrize(("query", "lines"), [("", 200), ("?lines=", 200), ("?lines=2", 2), ("?lines=100000", 100000)])
async def test_log_lines(url, workflow, query, lines):
    await ask(url, "GET", f"{JOBS}/web01.json/log{query}")
    assert workflow.calls == [("log", "web01.json", lines)]


@pytest.mark.parametrize("query", ["lines=0", "lines=100001", "lines=all"])
async def test_bad_log_lines(url, query):
    assert (await ask(url, "GET", f"{JOBS}/web01.json/log?{query}")).status == 400


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
async def test_no_query_is_an_internal_error(url, text):
    for key in ("status", "limit", "date", "q", "cursor", "sort"):
        assert (await ask(url, "GET", f"{JOBS}?{key}={quote(text, safe='', errors='replace')}")).status in {200, 400}


async def test_bodies_arrive_byte_for_byte_under_any_content_type(url, workflow):
    body = b'\xef\xbb\xbf{"a": "\xff"}\r\n'
    for kind in (
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        await ask(url, "POST", VALIDATE, body, {"Content-Type": kind})
    await ask(url, "POST", VALIDATE, body)
    assert workflow.calls == [("validate", body, "")] * 5


async def test_a_chunked_body_arrives_whole(url, workflow):
    chunked = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    await ask(url, "POST", VALIDATE, chunked, {"Content-Length": None, "Transfer-Encoding": "chunked"})
    assert workflow.calls == [("validate", b"abcde", "")]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "x"])
@pytest.mark.parametrize("path", [VALIDATE, SUBMIT])
async def test_a_compressed_body_is_refused_unread(url, workflow, path, encoding):
    bomb = gzip.compress(b" " * 20_000_000)
    reply = await ask(url, "POST", path, bomb, {"Content-Encoding": encoding})
    assert (reply.status, reply.json["code"]) == (400, "request-invalid")
    assert reply.json["detail"].startswith("Invalid JSON: ")
    assert reply.json["errors"] == [reply.json["detail"]]
    assert workflow.calls == []


async def test_identity_is_no_compression(url):
    assert (await ask(url, "POST", VALIDATE, b"{}", {"Content-Encoding": "identity"})).status == 200


@pytest.mark.parametrize("path", [VALIDATE, SUBMIT])
async def test_ten_mebibytes_are_the_limit(url, workflow, path):
    assert (await ask(url, "POST", path, b"x" * module.BODY_LIMIT)).status == 200
    reply = await ask(url, "POST", path, b"", {"Content-Length": str(module.BODY_LIMIT + 1)})
    assert (reply.status, reply.json["code"]) == (413, "document-too-large")
    assert reply.json["errors"]
    assert len(workflow.calls) == 1


async def test_a_large_body_without_a_length_is_cut_off(url, workflow):
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    reader, writer = await connect(url)
    head = f"POST {SUBMIT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode() + chunk * 11 + b"0\r\n\r\n")
    assert (await read_reply(reader)).status == 413
    writer.close()
    await writer.wait_closed()
    assert workflow.calls == []


async def test_a_body_that_does_not_come_is_given_up(url, workflow, monkeypatch):
    monkeypatch.setattr(module, "BODY_SECONDS", 0.05)
    reply = await ask(url, "POST", VALIDATE, b"{", {"Content-Length": "100"})
    assert (reply.status, reply.json["code"]) == (400, "request-invalid")
    assert "did not arrive" in reply.json["detail"]
    assert workflow.calls == []


async def test_pages_of_events_and_of_the_queue(url, workflow):
    await ask(url, "GET", f"{JOBS}/web01.json/events?limit=5&cursor=abc")
    await ask(url, "GET", "/api/workflow/queue?limit=7")
    await ask(url, "GET", "/api/workflow/queue")
    assert workflow.calls == [("events", "web01.json", 5, "abc"), ("queue", 7), ("queue", 1000)]
    for path in (f"{JOBS}/web01.json/events?limit=0", "/api/workflow/queue?limit=10001"):
        assert (await ask(url, "GET", path)).json["code"] == "request-invalid"


async def test_the_idempotency_key_is_passed_on(url, workflow):
    await ask(url, "POST", SUBMIT, b"{}", {"Idempotency-Key": "abc"})
    assert workflow.calls == [("submit", b"{}", "", "tcp abc")]


async def test_each_user_has_keys_of_its_own(unix, workflow):
    await ask(unix, "POST", SUBMIT, b"{}", {"Idempotency-Key": "abc"})
    assert workflow.calls == [("submit", b"{}", "", f"uid={os.getuid()} abc")]


@pytest.mark.parametrize("head", [{"Content-Length": "70000"}, {"Transfer-Encoding": "chunked"}])
async def test_only_some_large_bodies_are_read_at_once(url, workflow, head):
    slow = [await connect(url) for _ in range(module.LARGE_BODIES)]
    lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    for _reader, writer in slow:
        writer.write(f"POST {VALIDATE} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        await writer.drain()
    async with asyncio.timeout(20):
        while (refused := await ask(url, "POST", VALIDATE, b"x" * 70_000)).status != 429:
            workflow.calls.clear()
    assert (refused.json["code"], refused.headers["Retry-After"]) == ("request-busy", "1")
    assert "valid" not in refused.json
    assert (await ask(url, "POST", VALIDATE, b"x" * 60_000)).status == 200
    for _reader, writer in slow:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(20):
        while (await ask(url, "POST", VALIDATE, b"x" * 70_000)).status != 200:
            pass


@pytest.mark.parametrize("key", ["x" * 256, "a\tb"])
async def test_a_key_that_is_none(url, workflow, key):
    reply = await ask(url, "POST", SUBMIT, b"{}", {"Idempotency-Key": key})
    assert (reply.status, reply.json["code"], reply.json["success"]) == (400, "request-invalid", False)
    assert workflow.calls == []
