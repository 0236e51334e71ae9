"""A command line run in this process, against a real server with a workflow in memory, or one that answers anything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog

from hypersdkd.cli.hyperctl import main
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.replies import Receipt, Validation
from hypersdkd.web.app import make_app, serve
from tests.web.fake import FakeWorkflow

#: Nothing listens on the discard port of a test machine.
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No daemon, no queues and no configuration of the machine that the tests run on; a directory of their own."""
    queues = (tmp_path / "manifest-workflow", tmp_path / "workflow")
    monkeypatch.setattr("hypersdkd.client.directories.DEFAULT_QUEUES", queues)
    monkeypatch.setattr("hypersdkd.cli.workflow.DEFAULT_QUEUES", queues)
    monkeypatch.setattr("hypersdkd.cli.watch.DEFAULT_QUEUES", queues)
    monkeypatch.setenv("HYPERSDKD_URL", NOWHERE)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run hyperctl; its exit status and what it wrote."""

    def _run(*words: str) -> Result:
        capsys.readouterr()
        status = main(list(words))
        return Result(status, *capsys.readouterr())

    return _run


class RealRules(FakeWorkflow):
    """A workflow in memory that judges manifests by the real rules."""

    url = ""
    loop: asyncio.AbstractEventLoop
    receipt = Receipt("/q/to_be_processed/web01.json", "web01.json")

    def tell(self, kind: str, data: Mapping[str, object]) -> None:
        """Tell listeners, from the test's thread."""
        self.loop.call_soon_threadsafe(self.broadcast.publish, kind, data)

    def hang_up(self) -> None:
        """End all listeners, from the test's thread."""
        self.loop.call_soon_threadsafe(self.broadcast.close)

    async def validate(self, text: bytes, syntax: str = "") -> Validation:
        self.validation = read_manifest(text, syntax)
        return await super().validate(text, syntax)

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        self.validation = read_manifest(text, syntax)
        await super().submit(text, syntax, idempotency_key, default_name)
        return self.receipt


@pytest.fixture
def quiet_server() -> Iterator[None]:
    """The server runs in this process: keep its log out of what hyperctl writes."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture
def workflow(quiet_server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealRules]:
    """The workflow behind a real server, which HYPERSDKD_URL names."""
    fake, loop = RealRules(), asyncio.new_event_loop()
    server = loop.run_until_complete(serve(make_app(fake), listen=["127.0.0.1:0"]))
    fake.url, fake.loop = server.addresses[0], loop
    monkeypatch.setenv("HYPERSDKD_URL", fake.url)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield fake
    fake.hang_up()  # as the daemon does: a listener's request would not end by itself
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@dataclass
class Canned:
    """A server's answers by path (without the query), or one for all paths; and what it was asked."""

    url: str = ""
    answers: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    """A server that answers whatever it was told to, which HYPERSDKD_URL names."""
    told = Canned()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            told.asked.append(self.path)
            path = self.path.partition("?")[0]
            status, kind, body = told.answers.get(path) or told.answers.get("*") or (404, "text/plain", b"no")
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HYPERSDKD_URL", told.url)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        server.shutdown()
        thread.join(10)
