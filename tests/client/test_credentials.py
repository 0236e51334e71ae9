"""Tokens and certificates of a client, against a real TLS server."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from hypersdkd.client.address import Address, parse_address
from hypersdkd.client.credentials import Credentials, find_credentials
from hypersdkd.client.http import Daemon, DaemonRefusedError
from hypersdkd.client.live import LiveChanges
from hypersdkd.host.secret_file import write_secret
from hypersdkd.model.problem import ProblemError
from hypersdkd.model.role import Role
from hypersdkd.web.admission import AccessFiles, Admission
from hypersdkd.web.app import make_app, serve
from hypersdkd.web.tokens import make_token
from tests.certificates import make_certificate


def code_of(call, *words, **options) -> str:
    with pytest.raises(ProblemError) as caught:
        call(*words, **options)
    assert caught.value.problem.remedy
    return caught.value.problem.code


def test_where_they_come_from(tmp_path):
    for name in ("one", "two"):
        write_secret(tmp_path / name, f" {name}-token==\n".encode())
    environment = {"HYPERSDKD_TOKEN_FILE": str(tmp_path / "two"), "HYPERSDKD_CA_FILE": "/two.crt"}
    assert find_credentials(environment={}) == Credentials()
    assert find_credentials(environment=environment) == Credentials("two-token==", "/two.crt")
    given = find_credentials(str(tmp_path / "one"), "/one.crt", environment)
    assert given == Credentials("one-token==", "/one.crt")
    assert "one-token" not in repr(given)


@pytest.mark.parametrize("text", [b"", b"a b", b"a\nb", b"a\r\nX-Evil: 1", "ü".encode(), b"a" * 5000, b"\x00"])
def test_a_file_that_holds_no_token(tmp_path, text):
    write_secret(tmp_path / "t", text)
    assert code_of(find_credentials, str(tmp_path / "t")) == "token-unusable"


def test_a_file_that_others_can_read_or_nobody(tmp_path):
    (tmp_path / "t").write_text("token")
    (tmp_path / "t").chmod(0o644)
    with pytest.raises(ProblemError, match=r"chmod 600"):
        find_credentials(str(tmp_path / "t"))
    assert code_of(find_credentials, str(tmp_path / "none")) == "token-unusable"
    assert code_of(find_credentials, str(tmp_path)) == "token-unusable"
    assert code_of(find_credentials, "a\0b") == "token-unusable"


def test_a_token_from_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("token\n",))
    writer.start()
    assert find_credentials(str(pipe)).token == "token"
    writer.join()


def test_a_token_is_shown_to_whom():
    shown = {"Authorization": "Bearer t"}
    credentials = Credentials("t")
    for text in ("https://vm.example", "http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:1"):
        assert credentials.headers(parse_address(text)) == shown
    assert credentials.headers(Address(socket="/run/s")) == {}
    assert Credentials().headers(parse_address("http://vm.example")) == {}
    assert code_of(credentials.headers, parse_address("http://vm.example")) == "usage"
    assert code_of(credentials.headers, parse_address("http://localhost.evil.example")) == "usage"


def test_a_ca_that_is_none(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        assert code_of(Credentials(ca=str(path)).context) == "file-unreadable"
    (tmp_path / "junk").write_text("junk")
    with pytest.raises(ProblemError, match="no certificate in PEM"):
        Credentials(ca=str(tmp_path / "junk")).context()


async def test_a_daemon_with_tokens_and_tls(workflow, tmp_path):
    (read, one), (operate, other) = make_token(Role.READ, "viewer"), make_token(Role.OPERATE, "ci")
    write_secret(tmp_path / "tokens", f"{one}\n{other}\n".encode())
    cert, key = make_certificate(tmp_path, ["localhost"])
    admission = Admission(AccessFiles(tmp_path / "tokens", cert, key))
    admission.read()
    server = await serve(make_app(workflow, admission=admission), listen=["127.0.0.1:0"])
    url = server.addresses[0].replace("127.0.0.1", "localhost")

    def call(name: str, token: str = "", ca: str = str(cert), address: str = url):
        daemon = Daemon(parse_address(address), 5.0, Credentials(token, ca))
        return next(daemon.live_events()) if name == "events" else getattr(daemon, name)()

    try:
        assert await asyncio.to_thread(call, "status", read)
        assert await asyncio.to_thread(call, "pause", operate)
        assert (await asyncio.to_thread(call, "events", read))[1] == "reset"
        assert await asyncio.to_thread(code_of, call, "status") == "token-required"
        assert await asyncio.to_thread(code_of, call, "status", "wrong") == "token-unknown"
        assert await asyncio.to_thread(code_of, call, "pause", read) == "role-insufficient"
        assert await asyncio.to_thread(code_of, call, "status", read, "") == "daemon-untrusted"
        by_number = url.replace("localhost", "127.0.0.1")  # for which the certificate is not
        assert await asyncio.to_thread(code_of, call, "status", read, address=by_number) == "daemon-untrusted"
        plain = url.replace("https", "http")
        assert await asyncio.to_thread(code_of, call, "status", read, address=plain) == "daemon-unreachable"
        with LiveChanges(Daemon(parse_address(url), 5.0, Credentials(read, str(cert)))) as changes:
            assert (await asyncio.to_thread(changes.next, 10)).kind == "reset"
        assert not changes._thread.is_alive()
        with pytest.raises(DaemonRefusedError) as caught:
            await asyncio.to_thread(call, "pause", read)
        assert caught.value.status == 403
    finally:
        await server.stop()


async def test_tls_to_a_server_without(url):
    address = parse_address(url.replace("http:", "https:"))
    assert await asyncio.to_thread(code_of, Daemon(address, 5.0).status) == "daemon-unreachable"
