"""Where the API may be served, and what that needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.test_config import errors, load

TOKENS = "tokens_file: /etc/hypersdkd/tokens"
TLS = "tls: {cert: /etc/c.pem, key: /etc/k.pem}"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:8080", "localhost:8080", "127.1.2.3:65535"])
def test_loopback_in_every_spelling(tmp_path: Path, listen: str) -> None:
    assert load(tmp_path, f"api: {{listen: ['{listen}']}}").settings.api.listen == (listen,)


@pytest.mark.parametrize(
    "listen", ["example.org:80", ":80", "*:80", "127.0.0.1:65536", "127.0.0.1:٣", "127.0.0.1", "localhost.evil:80"]
)
def test_what_is_no_address(tmp_path: Path, listen: str) -> None:
    assert set(errors(tmp_path, f"api: {{listen: ['{listen}'], {TOKENS}, {TLS}}}")) == {"api.listen[0]"}


@pytest.mark.parametrize(
    "listen", ["10.0.0.1:80", "[::]:80", "0.0.0.0:80", "[2001:db8::1]:80", "[::ffff:127.0.0.1]:80"]
)
def test_beyond_loopback_both_are_needed_and_named(tmp_path: Path, listen: str) -> None:
    for lines, lacking in (
        ("", "tokens_file: FILE and tls: {cert: FILE, key: FILE}"),
        (f", {TOKENS}", "tls: {cert: FILE, key: FILE}"),
        (f", {TLS}", "tokens_file: FILE"),
    ):
        (message,) = errors(tmp_path, f"api: {{listen: ['127.0.0.1:1', '{listen}']{lines}}}").values()
        assert f"other machines can reach {listen}: add {lacking} below api (docs/access.md)" == message
    assert load(tmp_path, f"api: {{listen: ['{listen}'], {TOKENS}, {TLS}}}").settings.api.listen == (listen,)


def test_on_loopback_each_may_be_had_alone(tmp_path: Path) -> None:
    assert load(tmp_path, f"api: {{{TOKENS}}}").settings.api.tls.cert is None
    assert load(tmp_path, f"api: {{{TLS}}}").settings.api.tokens_file is None


@pytest.mark.parametrize("path", ["", "x", "~/x", "$CREDENTIALS_DIRECTORY", "$CREDENTIALS_DIRECTORY/a/b", "$HOME/x"])
def test_paths_of_secrets(tmp_path: Path, path: str) -> None:
    assert set(errors(tmp_path, f"api: {{tokens_file: '{path}'}}")) == {"api.tokens_file"}
    fine = "$CREDENTIALS_DIRECTORY/tokens"
    assert str(load(tmp_path, f"api: {{tokens_file: '{fine}'}}").settings.api.tokens_file) == fine


@pytest.mark.parametrize("name", ["", "http://x", "x:80", "*.example", "a b", "ü.example", "a/b", "[::1]"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    assert set(errors(tmp_path, f"api: {{names: ['{name}']}}")) == {"api.names[0]"}
    assert load(tmp_path, "api: {names: [vm.example, 192.0.2.1]}").settings.api.names == ("vm.example", "192.0.2.1")
