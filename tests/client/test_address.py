"""Where the daemon is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.client.address import Address, find_address, parse_address
from hypersdkd.model.problem import ProblemError


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("http://localhost:8080", Address("localhost", 8080), "http://localhost:8080"),
        ("http://localhost", Address("localhost", 80), "http://localhost:80"),
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
        "https://localhost",
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
    (tmp_path / "b.yaml").write_text("api: {socket: /run/b.sock, listen: ['127.0.0.1:2222']}")
    environment = {"HYPERSDKD_URL": "unix:/run/env.sock"}
    files = ("none.yaml", "a.yaml", "b.yaml")
    assert find(tmp_path, files=("none.yaml",)) == "http://localhost:8080"
    assert find(tmp_path, files=files) == "http://127.0.0.1:1111"
    assert find(tmp_path, files=files, config=tmp_path / "b.yaml") == "unix:/run/b.sock"
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
