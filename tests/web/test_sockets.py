"""What may be listened on, and what is never replaced."""

from __future__ import annotations

import errno
import socket

import pytest

from hypersdkd.model.problem import ProblemError
from hypersdkd.web.sockets import address_of, check_inherited, open_listeners, parse_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("127.8.9.1:1", ("127.8.9.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("localhost:0", ("127.0.0.1", 0)),
    ],
)
def test_loopback(text, expected):
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:80",
        "[::]:80",
        ":80",
        "*:80",
        "10.0.0.1:80",
        "example.com:80",
        "127.0.0.1",
        "127.0.0.1:",
        "",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:٣",
        "[::ffff:10.0.0.1]:80",
        "localhost.evil:80",
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(ProblemError) as caught:
        parse_listen(text)
    assert caught.value.problem.code == "address-unsafe"


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"])
def test_anywhere(text):
    assert parse_listen(text, anywhere=True) == (text.rpartition(":")[0].strip("[]"), 80)


@pytest.mark.parametrize("text", [":80", "*:80", "example.com:80", "127.0.0.1:x"])
def test_what_is_no_address_is_none_anywhere(text):
    with pytest.raises(ProblemError):
        parse_listen(text, anywhere=True)


def test_a_wildcard_of_ipv6_leaves_ipv4_alone():
    try:
        first, second = open_listeners(["[::]:0"], None, anywhere=True), []
    except ProblemError:
        pytest.skip("a machine without IPv6")
    port = first[0].getsockname()[1]
    second = open_listeners([f"0.0.0.0:{port}"], None, anywhere=True)
    for listener in (*first, *second):
        listener.close()


def test_inherited_sockets():
    with socket.create_server(("0.0.0.0", 0)) as listener:
        with pytest.raises(ProblemError) as caught:
            check_inherited(listener)
        assert caught.value.problem.code == "address-unsafe"
        check_inherited(listener, anywhere=True)
        assert address_of(listener, secure=True) == f"https://0.0.0.0:{listener.getsockname()[1]}"


def refused(listen, path=None) -> str:
    with pytest.raises(ProblemError) as caught:
        open_listeners(listen, path)
    return caught.value.problem.code


def test_a_port_in_use_is_a_problem_and_leaves_nothing_open(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = f"127.0.0.1:{probe.getsockname()[1]}"
        assert refused([free, taken], tmp_path / "s") == "address-unavailable"
        assert not (tmp_path / "s").exists()
        (again,) = open_listeners([free], None)
        again.close()


def test_a_stale_socket_file_is_replaced(tmp_path):
    path = tmp_path / "s"
    (first,) = open_listeners([], path)
    first.close()
    assert path.exists()
    (second,) = open_listeners([], path)
    assert address_of(second) == f"unix:{path}"
    second.close()


def test_a_living_socket_is_not(tmp_path):
    path = tmp_path / "s"
    (first,) = open_listeners([], path)
    inode = path.stat().st_ino
    assert refused([], path) == "address-unavailable"
    assert path.stat().st_ino == inode
    first.close()


def test_nor_is_another_file_or_a_link(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert refused([], path) == refused([], link) == "address-unavailable"
    assert path.read_text() == "precious"
    assert link.is_symlink()


def test_a_socket_in_no_directory_or_with_an_over_long_name(tmp_path):
    assert refused([], tmp_path / "none" / "s") == "address-unavailable"
    assert refused([], tmp_path / ("x" * 120)) == "address-unavailable"


def test_addresses_as_clients_write_them():
    for text in ("127.0.0.1:0", "[::1]:0"):
        try:
            (listener,) = open_listeners([text], None)
        except ProblemError:
            assert text.startswith("[")  # a machine without IPv6
            continue
        assert address_of(listener) == f"http://{text[:-1]}{listener.getsockname()[1]}"
        check_inherited(listener)
        listener.close()


def test_where_no_tcp_is_allowed(monkeypatch):
    """As in the unit's sandbox, when systemd could not make the sockets."""

    def refuse(*_family):
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr("hypersdkd.web.sockets.socket.socket", refuse)
    with pytest.raises(ProblemError, match=r"Cannot listen on 127\.0\.0\.1:8080") as caught:
        open_listeners(["127.0.0.1:8080"], None)
    assert caught.value.problem.code == "address-unavailable"
    assert "systemctl status hypersdkd.socket" in caught.value.problem.remedy
