"""Names of ours and of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.web.hosts import HostNames, host_name, is_loopback_host


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9090", "127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:8080"]
)
def test_hosts_of_ours(host):
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::]",
        "0.0.0.0",
        "user@localhost",
        "localhost/x",
        "localhost#evil",
        "localhost\\evil",
        "[::1",
        "127.0.0.1:x",
        "2130706433",
    ],
)
def test_hosts_of_others(host):
    assert not is_loopback_host(host)


NAMES = HostNames.of(["Proxy.example"], ["vm.example", "*.lab.example", "192.0.2.9", "2001:db8::9"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8443",
        "proxy.example",
        "PROXY.EXAMPLE:443",
        "vm.example:8443",
        "vm.example.:8443",
        "a.lab.example",
        "192.0.2.9:1",
        "[2001:db8:0::9]:8443",
        "192.0.2.2:8443",
    ],
)
def test_names_that_were_configured_certified_or_are_the_address(host):
    assert NAMES.are_ours(host, "192.0.2.2")


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "lab.example", "a.b.lab.example", "x.vm.example", "192.0.2.3", "vm.example@evil", ":80"],
)
def test_other_names(host):
    assert not NAMES.are_ours(host, "192.0.2.2")


def test_nothing_but_this_machine_without_names():
    assert not HostNames().are_ours("vm.example", "127.0.0.1")
    assert HostNames().are_ours("127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize(
    ("origin", "host", "secure", "ours"),
    [
        ("http://localhost:8080", "localhost:8080", False, True),
        ("https://localhost:8080", "localhost:8080", False, False),
        ("https://vm.example:8443", "VM.example:8443", True, True),
        ("http://vm.example:8443", "vm.example:8443", True, False),
        ("https://vm.example", "vm.example:8443", True, False),
        ("https://proxy.example", "proxy.example", False, True),  # it ended TLS for us
        ("https://proxy.example.evil", "proxy.example", False, False),
        ("null", "proxy.example", False, False),
        ("", "", False, False),
    ],
)
def test_origins(origin, host, secure, ours):
    assert NAMES.are_origins(origin, host, secure=secure) is ours


@given(st.text())
def test_any_text_has_a_name_or_none(text):
    assert isinstance(host_name(text), str)
    HostNames().are_ours(text, text)
