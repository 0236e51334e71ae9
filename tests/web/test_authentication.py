"""Who comes in by TCP where tokens are in force, over a real TLS server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hypersdkd.host.secret_file import write_secret
from hypersdkd.model.role import Role
from hypersdkd.web import connections
from hypersdkd.web.admission import AccessFiles, Admission
from hypersdkd.web.app import Server, make_app, serve
from hypersdkd.web.attempts import LIMIT
from hypersdkd.web.endpoints import ENDPOINTS
from hypersdkd.web.tokens import make_token
from tests.certificates import make_certificate
from tests.web.fake import FakeWorkflow
from tests.web.raw import Reply, ask, connect
from tests.web.test_plugin_endpoints import FakeEndpoints

STATUS = "/api/workflow/status"
PAUSE = "/api/workflow/pause"


@dataclass
class Guarded:
    """A server that asks for tokens, and one token of each role."""

    server: Server
    admission: Admission
    files: AccessFiles
    read: str
    operate: str
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return self.server.addresses[0]

    @property
    def unix(self) -> str:
        return self.server.addresses[1]

    async def ask(self, method: str, path: str, token: str | None = None, body: bytes | None = None, **more) -> Reply:
        headers = {"Authorization": token and f"Bearer {token}", **more}
        return await ask(self.url, method, path, body, headers, self.tls)


@pytest.fixture
async def guarded(workflow: FakeWorkflow, tmp_path: Path) -> AsyncIterator[Guarded]:
    files = AccessFiles(tmp_path / "tokens", *make_certificate(tmp_path))
    (read, viewer), (operate, ci) = make_token(Role.READ, "viewer"), make_token(Role.OPERATE, "ci")
    write_secret(tmp_path / "tokens", f"{viewer}\n{ci}\n".encode())
    admission = Admission(files)
    assert admission.read() == ([], [])
    app = make_app(workflow, FakeEndpoints(), admission=admission)
    server = await serve(app, listen=["127.0.0.1:0"], socket_path=tmp_path / "api.sock")
    yield Guarded(server, admission, files, read, operate, ssl.create_default_context(cafile=str(files.cert)))
    await server.stop()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection on which the other side may still be writing."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def body_of(endpoint) -> bytes | None:
    return b'{"source_path": "/srv/a.vmdk"}' if endpoint.body == "ManifestRequest" else b"{}" if endpoint.body else None


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
async def test_each_endpoint_by_each_role(guarded, workflow, endpoint):
    open_to_all = endpoint.path in {"/healthz", "/readyz"}
    changes = endpoint.method == "POST" and not endpoint.path.endswith("/validate")
    path = endpoint.path.replace("{id}", "bad.json" if endpoint.path.endswith("retry") else "web01.json")
    path = path.replace("{n}", "0")
    workflow.broadcast.close()  # so that the stream of events ends
    for token, expected in (
        (None, endpoint.status if open_to_all else 401),
        (guarded.read, 403 if changes else endpoint.status),
        (guarded.operate, endpoint.status),
    ):
        workflow.calls.clear()
        if endpoint.path.endswith("/workflow/events") and expected == 200:
            reader, writer = await connect(guarded.url, guarded.tls)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            assert b" 200 " in await reader.readline()
            await hang_up(writer)
            continue
        reply = await guarded.ask(endpoint.method, path, token, body_of(endpoint))
        assert reply.status == expected, token
        assert expected < 400 or workflow.calls == []


@pytest.mark.parametrize("path", ["/metrics", "/api/plugins/acme/a.b"])
async def test_addresses_of_plugins_are_for_who_may_read(guarded, path):
    assert (await guarded.ask("GET", path)).status == 401
    assert (await guarded.ask("GET", path, guarded.read)).status == 202  # the fake's reply


async def test_refusals_say_what_is_lacking(guarded):
    none = await guarded.ask("GET", STATUS)
    assert (none.status, none.json["code"]) == (401, "token-required")
    assert none.headers["WWW-Authenticate"] == 'Bearer realm="hypersdkd"'
    wrong = await guarded.ask("GET", STATUS, guarded.read[:-1] + "!")
    assert (wrong.status, wrong.json["code"]) == (401, "token-unknown")
    assert wrong.headers["WWW-Authenticate"] == 'Bearer realm="hypersdkd", error="invalid_token"'
    low = await guarded.ask("POST", PAUSE, guarded.read)
    assert (low.status, low.json["code"]) == (403, "role-insufficient")
    assert 'error="insufficient_scope", scope="operate"' in low.headers["WWW-Authenticate"]
    assert "viewer may read" in low.json["detail"]
    for reply in (none, wrong, low):
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert reply.json["remedy"]


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "bearer\t", "Bearer a b", "Token {}", "{}"])
async def test_headers_that_are_no_token(guarded, header):
    assert (await guarded.ask("GET", STATUS, None, Authorization=header.format(guarded.read))).status == 401


async def test_the_scheme_is_spelt_in_any_case(guarded):
    assert (await guarded.ask("GET", STATUS, None, Authorization=f"bEARER {guarded.read}")).status == 200


async def test_a_token_in_the_address_is_none(guarded):
    assert (await guarded.ask("GET", f"{STATUS}?access_token={guarded.read}&token={guarded.read}")).status == 401


async def test_strangers_do_not_learn_what_there_is(guarded):
    for method, path in (
        ("GET", "/nothing"),
        ("DELETE", STATUS),
        ("GET", "/api//workflow/status"),
        ("OPTIONS", STATUS),
    ):
        assert (await guarded.ask(method, path)).status == 401
    assert (await guarded.ask("GET", "/nothing", guarded.read)).status == 404
    assert (await guarded.ask("DELETE", STATUS, guarded.operate)).status == 405


async def test_the_page_itself_is_for_everybody(guarded):
    for path in ("/web/dashboard/", "/web/dashboard/page.js"):
        assert (await guarded.ask("GET", path)).status == 200
    assert (await guarded.ask("GET", "/web/dashboard")).status == 301
    assert (await guarded.ask("GET", "/web/dashboard/none.js")).status == 404


async def test_by_the_unix_socket_none_is_asked_for(guarded, workflow):
    assert (await ask(guarded.unix, "POST", PAUSE)).status == 202
    assert (await ask(guarded.unix, "POST", PAUSE, headers={"Authorization": "Bearer wrong"})).status == 202


async def test_wrong_tokens_are_bounded_and_the_right_one_is_taken_all_the_time(guarded):
    with capture_logs() as lines:
        for _ in range(LIMIT + 5):
            last = await guarded.ask("GET", STATUS, "wrong-wrong-wrong-wrong-wrong")
    assert (last.status, last.json["code"]) == (429, "token-attempts")
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    assert [line["event"] for line in lines] == ["token refused"] * LIMIT
    assert "no more" in lines[-1]["note"]
    assert {(line["address"], line["path"]) for line in lines} == {("127.0.0.1", STATUS)}
    assert "wrong-wrong" not in str(lines)
    assert (await guarded.ask("GET", STATUS, guarded.read)).status == 200
    assert (await guarded.ask("GET", STATUS)).status == 401, "no token is no attempt"


async def test_the_audit_log_says_the_tokens_name_and_keys_are_each_tokens_own(guarded, workflow):
    with capture_logs() as lines:
        await guarded.ask("POST", PAUSE, guarded.operate)
        await guarded.ask("POST", PAUSE, guarded.read)
        await guarded.ask("POST", PAUSE)  # a stranger could fill the log
    assert [(line["who"], line["status"], line["address"]) for line in lines] == [
        ("token=ci", 202, "127.0.0.1"),
        ("token=viewer", 403, "127.0.0.1"),
    ]
    assert guarded.operate not in str(lines)
    await guarded.ask("POST", "/api/workflow/manifest/submit", guarded.operate, b"{}", **{"Idempotency-Key": "k"})
    assert "token=ci" in workflow.calls[-1][3]


async def test_a_token_in_an_address_is_not_logged(guarded):
    with capture_logs() as lines:
        await guarded.ask("POST", f"{PAUSE}?access_token=se-cret", guarded.operate)
        await guarded.ask("POST", f"{PAUSE}?a=1", guarded.operate)
        await guarded.ask("GET", f"{STATUS}?access_token=se-cret", "wrong-wrong-wrong-wrong-wrong")
    assert [line["path"] for line in lines] == [PAUSE, f"{PAUSE}?a=1", STATUS]


async def test_a_token_that_was_taken_away_ends_its_stream(guarded):
    reader, writer = await connect(guarded.url, guarded.tls)
    request = f"GET /api/workflow/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {guarded.read}\r\n\r\n"
    writer.write(request.encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    guarded.files.tokens_file.unlink()
    write_secret(guarded.files.tokens_file, make_token(Role.READ, "viewer")[1].encode())
    assert guarded.admission.read() == ([], [])
    with contextlib.suppress(OSError):  # a reset
        async with asyncio.timeout(10):
            await reader.read()
    assert (await guarded.ask("GET", STATUS, guarded.read)).status == 401
    await hang_up(writer)


# -- TLS ----------------------------------------------------------------------------------------------


async def test_tls_is_spoken_and_nothing_else(guarded):
    assert guarded.url.startswith("https://127.0.0.1:")
    host, port = guarded.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("version", "fine"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
async def test_versions(guarded, version, fine):
    command = ["openssl", "s_client", version, "-cipher", "DEFAULT:@SECLEVEL=0", "-connect"]
    address = guarded.url.removeprefix("https://")
    done = await asyncio.to_thread(subprocess.run, [*command, address], input=b"", capture_output=True, check=False)
    assert (b"Cipher is (NONE)" not in done.stdout and b"New, TLSv1" in done.stdout) is fine


@pytest.mark.parametrize(
    ("host", "status"),
    [("vm.example:8443", 200), ("localhost", 200), ("127.0.0.1", 200), ("evil.example", 403), ("192.0.2.77", 403)],
)
async def test_names_of_the_certificate_are_ours(guarded, host, status):
    assert (await guarded.ask("GET", STATUS, guarded.read, Host=host)).status == status


async def test_a_foreign_page_is_refused_with_a_token_too(guarded, workflow):
    for more in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        reply = await guarded.ask("POST", PAUSE, guarded.operate, **more)
        assert (reply.status, reply.json["code"]) == (403, "request-refused")
    assert (await guarded.ask("GET", "/web/dashboard/", Host="evil.example")).status == 403
    assert workflow.calls == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://vm.example:8443", 202), ("http://vm.example:8443", 403), ("https://vm.example", 403), ("null", 403)],
)
async def test_only_the_own_origin_by_https(guarded, origin, status):
    reply = await guarded.ask("POST", PAUSE, guarded.operate, Host="vm.example:8443", Origin=origin)
    assert reply.status == status


async def test_handshakes_that_fail_do_not_fill_the_listener_for_long(guarded, monkeypatch):
    monkeypatch.setattr(connections, "CONNECTIONS", 4)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    host, port = guarded.url.removeprefix("https://").split(":")
    gc.disable()
    try:
        for _ in range(4):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"no TLS\r\n\r\n")
            await reader.read()
            await hang_up(writer)
        monkeypatch.setattr(connections, "HEAD_SECONDS", 10.0)
        async with asyncio.timeout(10):
            while (await guarded.ask("GET", "/healthz")).status != 200:
                await asyncio.sleep(0.001)
    finally:
        gc.enable()
