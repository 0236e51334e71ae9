"""A daemon that other machines can reach: by TLS, with tokens, as docs/access.md says; and one that refuses to be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import make_certificate
from tests.images import MIB, raw_disk
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import manifest
from tests.system.network import beyond_loopback

pytestmark = pytest.mark.system

HYPERCTL = (sys.executable, "-c", "import sys; from hypersdkd.cli.hyperctl import main; sys.exit(main())")
DAEMON = (sys.executable, "-m", "hypersdkd")


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    with beyond_loopback() as found:
        yield found


def make_token(directory: Path, role: str, name: str) -> str:
    """A token in ``directory/NAME.token``; its line."""
    command = [*DAEMON, "--make-token", role, name, str(directory / f"{name}.token")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def daemon(network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    root = tmp_path_factory.mktemp("access")
    cert, key = make_certificate(root, ["localhost", network])
    tokens = root / "tokens"
    tokens.touch(0o600)
    tokens.write_text(make_token(root, "read", "viewer") + make_token(root, "operate", "ci"))
    api = {
        "listen": [f"{network}:0"],
        "tokens_file": str(tokens),
        "tls": {"cert": str(cert), "key": str(key)},
    }
    with DaemonProcess(root, api=api) as process:
        yield process


@pytest.fixture(scope="module")
def url(daemon: DaemonProcess) -> str:
    ready = next(json.loads(line) for line in daemon.logged() if '"addresses"' in line)
    return ready["addresses"][0]


def hyperctl(daemon: DaemonProcess, *words: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [*HYPERCTL, *words],
        env={**os.environ, "NO_COLOR": "1", **environment},
        cwd=daemon.root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_hyperctl_from_outside(daemon, network, url):
    assert url.startswith(f"https://{network}:")
    told = {"HYPERSDKD_URL": url, "HYPERSDKD_CA_FILE": "server.crt", "HYPERSDKD_TOKEN_FILE": "viewer.token"}
    status, said = hyperctl(daemon, "workflow", "status", **told)
    assert (status, "Workflow daemon is running" in said) == (0, True), said
    # an option wins over the environment
    status, said = hyperctl(daemon, "pause", "--token-file", "ci.token", **told)
    assert status == 0, said
    status, said = hyperctl(daemon, "-token-file=ci.token", "resume", "-ca", "server.crt", "-url", url)
    assert status == 0, said
    status, said = hyperctl(daemon, "pause", "-v", **told)
    assert (status, "viewer may read" in said, "role-insufficient" in said) == (1, True, True), said
    status, said = hyperctl(daemon, "workflow", "status", "-v", **{**told, "HYPERSDKD_TOKEN_FILE": ""})
    assert (status, "token-required" in said) == (1, True), said
    status, said = hyperctl(daemon, "workflow", "status", **{**told, "HYPERSDKD_CA_FILE": ""})
    assert (status, "--ca" in said) == (3, True), "no other queue is read in its place: " + said
    plain = url.replace("https", "http")
    status, said = hyperctl(daemon, "workflow", "status", **{**told, "HYPERSDKD_URL": plain})
    assert (status, "unencrypted" in said) == (2, True), said


def test_a_job_by_a_token_and_who_did_it(daemon, network, url):
    source = raw_disk(daemon.root / "disk.raw", MIB)
    (daemon.root / "web.json").write_bytes(manifest(source))
    told = {"HYPERSDKD_URL": url, "HYPERSDKD_CA_FILE": "server.crt", "HYPERSDKD_TOKEN_FILE": "ci.token"}
    status, said = hyperctl(daemon, "manifest", "submit", "--wait", "web.json", **told)
    assert status == 0, said
    lines = [json.loads(line) for line in daemon.logged() if '"audit"' in line]
    assert any(line["who"] == "token=ci" and line["address"] == network for line in lines)
    log = daemon.log.read_text()
    assert not any((daemon.root / f"{name}.token").read_text().strip() in log for name in ("ci", "viewer"))


def test_tokens_and_certificate_are_read_again(daemon, network, url):
    new = make_token(daemon.root, "operate", "new")
    tokens = daemon.root / "tokens"
    kept = tokens.read_text()

    def answers(token: str, ca: str) -> tuple[int, str]:
        return hyperctl(daemon, "workflow", "status", "-v", "-url", url, "-token-file", token, "-ca", ca)

    tokens.write_text("junk\n")
    daemon.reload()
    assert "must be ROLE NAME sha256:HEX" in daemon.log.read_text()
    assert answers("ci.token", "server.crt")[0] == 0, "a file with an error changes nothing"
    (daemon.root / "server.crt").rename(daemon.root / "old.crt")
    make_certificate(daemon.root, [network])
    tokens.write_text(kept + new)
    daemon.reload()
    assert answers("new.token", "server.crt")[0] == answers("ci.token", "server.crt")[0] == 0
    assert answers("ci.token", "old.crt")[0] == 3
    tokens.write_text(new)
    daemon.reload()
    status, said = answers("ci.token", "server.crt")
    assert (status, "token-unknown" in said) == (1, True)
    tokens.write_text(kept)
    daemon.reload()


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"tokens_file", "tls"}, "add tokens_file: FILE and tls: {cert: FILE, key: FILE} below api"),
        ({"tls"}, "add tls: {cert: FILE, key: FILE} below api"),
        ({"tokens_file"}, "add tokens_file: FILE below api"),
    ],
)
def test_it_does_not_start_beyond_loopback_without_both(network, tmp_path, lacking, said):
    cert, key = make_certificate(tmp_path)
    whole = {"tokens_file": str(tmp_path / "tokens"), "tls": {"cert": str(cert), "key": str(key)}}
    api = {"listen": [f"{network}:0"], **{name: value for name, value in whole.items() if name not in lacking}}
    process = DaemonProcess(tmp_path, api=api)
    status, words = process.refuse()
    assert (status, said in words) == (78, True), words
    assert not process.base.exists()


def test_what_is_wrong_with_the_files_is_told_all_at_once(tmp_path):
    cert, _ = make_certificate(tmp_path)
    (tmp_path / "tokens").write_text(make_token(tmp_path, "read", "a"))
    (tmp_path / "tokens").chmod(0o644)
    api = {"tokens_file": str(tmp_path / "tokens"), "tls": {"cert": str(cert), "key": str(tmp_path / "none")}}
    process = DaemonProcess(tmp_path, api=api)
    status, words = process.refuse()
    assert status == 78
    config = tmp_path / "config.yaml"
    done = subprocess.run(
        [*DAEMON, "--config", str(config), "--check-config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    for said in (words, done.stderr):
        assert f"run: chmod 600 {tmp_path}/tokens" in said
        assert f"{tmp_path}/none: No such file" in said
    assert not process.base.exists()


def test_check_config_and_credentials(tmp_path):
    make_certificate(tmp_path, days=(-9, 3))
    (tmp_path / "tokens").write_text(make_token(tmp_path, "read", "a"))
    (tmp_path / "tokens").chmod(0o400)
    api = {
        "tokens_file": "$CREDENTIALS_DIRECTORY/tokens",
        "tls": {"cert": "$CREDENTIALS_DIRECTORY/server.crt", "key": "$CREDENTIALS_DIRECTORY/server.key"},
    }
    DaemonProcess(tmp_path, api=api)
    command = [*DAEMON, "--config", str(tmp_path / "config.yaml"), "--check-config"]
    bare = {key: value for key, value in os.environ.items() if key != "CREDENTIALS_DIRECTORY"}
    done = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
    assert (done.returncode, "not checked" in done.stderr) == (0, True)
    inside = {**bare, "CREDENTIALS_DIRECTORY": str(tmp_path)}
    done = subprocess.run(command, env=inside, capture_output=True, text=True, check=False)
    assert (done.returncode, "api.tls.cert: it ends on" in done.stderr) == (0, True), done.stderr
    (tmp_path / "tokens").unlink()
    done = subprocess.run(command, env=inside, capture_output=True, text=True, check=False)
    assert (done.returncode, "api.tokens_file: " in done.stderr) == (78, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("admin", "a", "f"), "role is read or operate"),
        (("read", "a b", "f"), "name has 1 to 64"),
        (("read", "a", "none/f"), "No such file"),
        (("read", "a", "taken"), "File exists"),
    ],
)
def test_tokens_that_cannot_be_made(tmp_path, words, said):
    (tmp_path / "taken").write_text("mine")
    command = [*DAEMON, "--make-token", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"
