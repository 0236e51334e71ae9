"""Where the daemon is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.client.address import Address, configured_queue, find_address, parse_address
from hypersdkd.model.problem import ProblemError
from tests.privileges import unprivileged


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("http://localhost:8080", Address("localhost", 8080), "http://localhost:8080"),
        ("http://localhost", Address("localhost", 80), "http://localhost:80"),
        ("https://h", Address("h", 443, secure=True), "https://h:443"),
        (
            "https://[2001:db8::1]:8443/p/",
            Address("2001:db8::1", 8443, "/p", secure=True),
            "https://[2001:db8::1]:8443/p",
        ),
        ("http://[::1]:9/", Address("::1", 9), "http://[::1]:9"),
        ("http://h:1/prefix/", Address("h", 1, "/prefix"), "http://h:1/prefix"),
        ("unix:/run/x.sock", Address(socket="/run/x.sock"), "unix:/run/x.sock"),
        ("unix:///run/x.sock", Address(socket="/run/x.sock"), "unix:/run/x.sock"),
        ("unix:relative", Address(socket="relative"), "unix:relative"),
    ],
)
def test_addresses(text, expected, shown):
    assert parse_address(text) == expected
    assert str(expected) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:8080",
        "https://",
        "httpss://localhost",
        "http://",
        "http://h:x",
        "http://h:99999",
        "unix:",
        "http://u:p@h/",
        "ftp://h",
        "http://h/?q",
        "http://h/#f",
        "http://h/\nX: y",
        "http://[::1",
        "http://h /",
    ],
)
def test_what_is_none(text):
    with pytest.raises(ProblemError) as caught:
        parse_address(text)
    assert caught.value.problem.code == "usage"


@given(st.text())
def test_any_text_is_an_address_or_a_usage_error(text):
    for candidate in (text, f"http://{text}", f"unix:{text}"):
        try:
            address = parse_address(candidate)
        except ProblemError as error:
            assert error.problem.code == "usage"
        else:
            assert parse_address(str(address)) == address


def find(tmp_path, *, url="", socket="", config=None, environment=None, files=()) -> str:
    paths = tuple(tmp_path / name for name in files)
    return str(find_address(url, socket, config, environment or {}, paths))


def test_who_wins(tmp_path):
    (tmp_path / "a.yaml").write_text("api: {listen: ['127.0.0.1:1111']}")
    (tmp_path / "b.sock").touch()
    (tmp_path / "b.yaml").write_text(f"api: {{socket: {tmp_path}/b.sock, listen: ['127.0.0.1:2222']}}")
    environment = {"HYPERSDKD_URL": "unix:/run/env.sock"}
    files = ("none.yaml", "a.yaml", "b.yaml")
    assert find(tmp_path, files=("none.yaml",)) == "http://localhost:8080"
    assert find(tmp_path, files=files) == "http://127.0.0.1:1111"
    assert find(tmp_path, files=files, config=tmp_path / "b.yaml") == f"unix:{tmp_path}/b.sock"
    assert find(tmp_path, files=files, environment=environment) == "unix:/run/env.sock"
    assert find(tmp_path, files=files, environment=environment, url="http://h:1") == "http://h:1"
    assert find(tmp_path, files=files, environment=environment, socket="/s") == "unix:/s"
    assert find(tmp_path, environment={"HYPERSDKD_URL": ""}) == "http://localhost:8080"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mode: manifest",
        "[]",
        "api: 5",
        "api: {}",
        "api: {listen: []}",
        "api: {listen: [5]}",
        "{",
        "a: &a [*a]",
        "\x00",
    ],
)
def test_a_configuration_that_names_no_address(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    assert find(tmp_path, config=tmp_path / "c.yaml") == "http://localhost:8080"


def test_a_configuration_that_is_named_must_exist(tmp_path):
    with pytest.raises(ProblemError) as caught:
        find(tmp_path, config=tmp_path / "none.yaml")
    assert caught.value.problem.code == "config-missing"


def test_a_listen_address_that_is_a_text(tmp_path):
    (tmp_path / "c.yaml").write_text("api: {listen: '[::1]:9'}")
    assert find(tmp_path, config=tmp_path / "c.yaml") == "http://[::1]:9"


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (", listen: ['127.0.0.1:2222']", "http://127.0.0.1:2222"),
        ("", "http://localhost:8080"),
        (", listen: []", "unix:SOCKET"),
    ],
)
def test_a_socket_that_may_not_be_opened_leaves_tcp(public, listen, expected):
    socket = public / "b.sock"
    socket.touch()
    config = public / "c.yaml"
    config.write_text(f"api: {{socket: {socket}{listen}}}")
    assert find(public, config=config) == f"unix:{socket}"
    socket.chmod(0)
    with unprivileged():
        assert find(public, config=config) == expected.replace("SOCKET", str(socket))


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("listen: ['192.0.2.1:8443'], tls: {cert: /c, key: /k}", "https://192.0.2.1:8443"),
        ("listen: ['0.0.0.0:8443'], tls: {cert: /c, key: /k}", "https://localhost:8443"),
        ("listen: ['[::]:8443'], tls: {cert: /c, key: /k}, names: []", "https://localhost:8443"),
        ("listen: ['0.0.0.0:8443'], tls: {cert: /c, key: /k}, names: [vm.example, b]", "https://vm.example:8443"),
        ("listen: ['127.0.0.1:8443'], tls: {cert: /c, key: /k}, names: [vm.example]", "https://127.0.0.1:8443"),
        ("listen: ['127.0.0.1:8080'], tls: {}, names: 5", "http://127.0.0.1:8080"),
        ("listen: ['127.0.0.1:8080'], tls: 5", "http://127.0.0.1:8080"),
    ],
)
def test_a_configuration_beyond_loopback(tmp_path, api, expected):
    (tmp_path / "c.yaml").write_text(f"api: {{{api}}}")
    assert find(tmp_path, config=tmp_path / "c.yaml") == expected


def test_a_configuration_in_a_directory_that_may_not_be_entered(public):
    (public / "closed").mkdir(mode=0)
    with unprivileged():
        assert find(public, files=("closed/c.yaml",)) == "http://localhost:8080"
        with pytest.raises(ProblemError) as caught:
            find(public, config=public / "closed/c.yaml")
    assert caught.value.problem.code == "config-missing"


def test_the_configured_queue_and_its_mode(tmp_path):
    assert configured_queue(None, (tmp_path / "none.yaml",)) is None
    path = tmp_path / "c.yaml"
    path.write_text("manifest_workflow_mode: true\nmanifest_workflow_dir: /q\n")  # hyper2kvm's keys
    assert configured_queue(path) == configured_queue(None, (path,)) == (Path("/q"), "manifest")
    path.write_text(f"workflow: {{base_dir: {tmp_path}}}")
    (tmp_path / "to_be_processed").mkdir()
    (tmp_path / "to_be_processed/a.vmdk").touch()
    assert configured_queue(path) == (tmp_path, "disk")
    path.write_text("mode: [")
    with pytest.raises(ProblemError):
        configured_queue(path)
