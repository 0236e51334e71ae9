"""The client against a real server, and against what only looks like one."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from hypersdkd.client import http as module
from hypersdkd.client.address import Address, parse_address
from hypersdkd.client.http import Daemon, DaemonRefusedError
from hypersdkd.model.manifest_draft import ManifestWish
from hypersdkd.model.problem import ProblemError, fail
from hypersdkd.model.replies import JobQuery
from hypersdkd.web.endpoints import ENDPOINTS
from tests.privileges import unprivileged
from tests.web.fake import HOSTILE, RUNNING, invalid

#: Each endpoint's answer function and the client's call of it.
CALLS = {
    "status": lambda daemon: daemon.status(),
    "jobs": lambda daemon: daemon.jobs("all", q="web", date="2026-01-02", limit=5, cursor="c"),
    "active_jobs": lambda daemon: daemon.active_jobs(),
    "job": lambda daemon: daemon.job(HOSTILE.id),
    "live_events": lambda daemon: next(daemon.live_events()),
    "job_events": lambda daemon: daemon.job_events(HOSTILE.id),
    "job_log": lambda daemon: daemon.job_log(HOSTILE.id, 3),
    "job_report": lambda daemon: daemon.job_report(HOSTILE.id),
    "job_artifacts": lambda daemon: daemon.job_artifacts(HOSTILE.id),
    "job_artifact": lambda daemon: daemon.job_artifact(HOSTILE.id, 0),
    "cancel_job": lambda daemon: daemon.cancel_job(HOSTILE.id),
    "retry_job": lambda daemon: daemon.retry_job("bad.json"),
    "validate_manifest": lambda daemon: daemon.validate_manifest(b"{}"),
    "submit_manifest": lambda daemon: daemon.submit_manifest(b"{}", "key"),
    "generate_manifest": lambda daemon: daemon.generate_manifest("/srv/a.vmdk", "raw", compress=False, inspect=True),
    "manifest_schema": lambda daemon: daemon.manifest_schema(),
    "schema_of_job_configs": lambda daemon: daemon.job_config_schema(),
    "openapi": lambda daemon: daemon.openapi(),
    "queue": lambda daemon: daemon.queue(),
    "pause": lambda daemon: daemon.pause(),
    "resume": lambda daemon: daemon.resume(),
    "healthy": lambda daemon: daemon.healthy(),
    "ready": lambda daemon: daemon.ready(),
}


#: What is for browsers only.
PAGES = {"docs"}


@pytest.mark.parametrize(
    "endpoint",
    [each for each in ENDPOINTS if each.answer.__name__ not in PAGES],
    ids=lambda endpoint: f"{endpoint.method} {endpoint.path}",
)
async def test_every_endpoint_has_a_call(url, unix, workflow, endpoint):
    name = endpoint.answer.__name__
    for address in (url, unix):
        reply = await asyncio.to_thread(CALLS[name], Daemon(parse_address(address)))
        assert reply, name
    if name == "jobs":
        assert workflow.calls[0] == ("jobs", JobQuery(q="web", date="2026-01-02", limit=5, cursor="c"))
    if name == "submit_manifest":
        submitted, text, _syntax, key = workflow.calls[0]
        assert (submitted, text) == ("submit", b"{}")
        assert key.endswith("key")  # the daemon keeps the keys of different callers apart
    if name == "generate_manifest":
        assert workflow.calls[0] == ("generate", ManifestWish("/srv/a.vmdk", "raw", compress=False, inside=True))
    if name.startswith("job_") or name == "job":
        assert workflow.calls[0][1] == HOSTILE.id


async def test_replies_are_those_of_the_api(url):
    daemon = Daemon(parse_address(url))
    assert (await asyncio.to_thread(daemon.active_jobs))["jobs"] == [RUNNING.as_dict()]


async def test_a_refusal_keeps_the_daemons_words(url, workflow):
    daemon = Daemon(parse_address(url))
    workflow.validation = invalid("version is required", "pipeline is required")
    with pytest.raises(DaemonRefusedError) as caught:
        await asyncio.to_thread(daemon.submit_manifest, b"{}")
    refusal = caught.value
    assert (refusal.status, refusal.problem.code) == (400, "manifest-required")
    assert refusal.problem.message == "Invalid manifest: version is required"
    assert [problem.message for problem in refusal.problems] == ["version is required", "pipeline is required"]
    assert refusal.reply["errors"] == ["version is required", "pipeline is required"]
    workflow.error = fail("job-state", "not now", remedy="Wait.")
    with pytest.raises(DaemonRefusedError) as caught:
        await asyncio.to_thread(daemon.pause)
    assert (caught.value.problem.code, caught.value.problem.remedy) == ("job-state", "Wait.")


def unreachable(address: Address, timeout: float = 5.0) -> str:
    with pytest.raises(ProblemError) as caught:
        Daemon(address, timeout).status()
    assert caught.value.problem.code == "daemon-unreachable"
    assert str(address) in caught.value.problem.message
    return caught.value.problem.message


def test_nobody_there(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "refused" in unreachable(Address("127.0.0.1", port))
    assert "No such file" in unreachable(Address(socket=str(tmp_path / "none")))
    unreachable(Address("x" * 70 + ".example", 80))
    assert "too long" in unreachable(Address(socket=str(tmp_path / ("x" * 120))))


def test_a_socket_that_may_not_be_opened(public):
    path = public / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        with unprivileged(), pytest.raises(ProblemError) as caught:
            Daemon(Address(socket=str(path))).status()
    problem = caught.value.problem
    assert (problem.code, problem.message) == ("daemon-unreachable", f"You may not open the socket {path}")
    assert f"Join the socket's group {path.group()} " in problem.remedy


@pytest.fixture
def served() -> Iterator[Callable[[bytes], Address]]:
    """An address where one connection gets an answer, whatever it asks."""
    threads = []

    def serve(answer: bytes) -> Address:
        listener = socket.create_server(("127.0.0.1", 0))

        def answer_once() -> None:
            with listener, listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)

        threads.append(threading.Thread(target=answer_once, daemon=True))
        threads[-1].start()
        return Address("127.0.0.1", listener.getsockname()[1])

    yield serve
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}",
        b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
    ],
)
def test_something_else_answers(served, answer):
    unreachable(served(answer))


def test_a_reply_without_end(served, monkeypatch):
    monkeypatch.setattr(module, "REPLY_LIMIT", 10)
    unreachable(served(b'HTTP/1.1 200 OK\r\n\r\n{"a": "xxxxxxxxxxxx"}'))


def test_a_daemon_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in unreachable(Address("127.0.0.1", silent.getsockname()[1]), timeout=0.05)


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (404, b"404 page not found\n", "not-found", "404 page not found"),
        (405, b"Method not allowed\n", "method-not-allowed", "Method not allowed"),
        (400, b"Invalid manifest: version is required\n", "request-invalid", "Invalid manifest: version is required"),
        (502, b"", "internal", "HTTP status 502"),
        (404, b"\n<!DOCTYPE html>\n<html>", "not-found", "A page answers there, not the API: HTTP status 404"),
        (400, b'{"problems": [1, {"code": "x"}], "detail": null}', "request-invalid", "HTTP status 400"),
    ],
)
def test_errors_of_the_go_api_and_of_proxies(served, status, body, code, message):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with pytest.raises(DaemonRefusedError) as caught:
        Daemon(served(head + body)).status()
    assert (caught.value.problem.code, caught.value.problem.message, caught.value.status) == (code, message, status)


def test_it_starts_fast():
    """No heavy import sneaks in: each of these costs more than the whole client."""
    code = (
        "import sys, hypersdkd.client.http, hypersdkd.client.address, hypersdkd.client.directories; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiohttp", "asyncio", "pydantic", "yaml", "structlog", "rich"} & set(loaded)
