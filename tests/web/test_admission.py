"""Tokens, certificate and names: read whole or not at all, and read again while they are used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from hypersdkd.host.secret_file import write_secret
from hypersdkd.model.role import Role
from hypersdkd.web.admission import AccessFiles, Admission
from hypersdkd.web.tokens import make_token
from tests.certificates import make_certificate


class Line:
    """Stands for a connection that can be cut."""

    cut = False

    closing = False

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        assert not self.closing
        self.cut = True


@pytest.fixture
def files(tmp_path: Path) -> AccessFiles:
    return AccessFiles(tmp_path / "tokens", *make_certificate(tmp_path), names=("proxy.example",))


def put(files: AccessFiles, *lines: str) -> None:
    assert files.tokens_file is not None
    files.tokens_file.unlink(missing_ok=True)
    write_secret(files.tokens_file, "\n".join(lines).encode())


def test_without_files_nothing_is_asked_for():
    admission = Admission()
    assert admission.read() == ([], [])
    assert (admission.tokens, admission.tls, admission.beyond_loopback) == (None, None, False)


def test_before_it_is_read_nobody_comes_in(files):
    admission = Admission(files)
    assert admission.tokens is not None
    assert admission.tokens.find(make_token(Role.READ, "a")[0]) is None


def test_read_again_with_what_is_new(files):
    (first, one), (second, other) = make_token(Role.READ, "a"), make_token(Role.OPERATE, "b")
    put(files, one)
    admission = Admission(files)
    assert admission.read() == ([], [])
    assert admission.beyond_loopback
    assert admission.names.are_ours("vm.example:8443", "")
    assert admission.names.are_ours("proxy.example", "")
    context, kept = admission.tls, admission.tokens.find(first)
    old, new = Line(), Line()
    put(files, one, other)
    make_certificate(files.cert.parent, ["new.example"])
    with admission.inside(kept, old):
        assert admission.read() == ([], [])
        assert not old.cut
        assert admission.names.are_ours("new.example", "")
        assert not admission.names.are_ours("vm.example", "")
        assert admission.tls is context, "the listeners have it"
        with admission.inside(admission.tokens.find(second), new):
            put(files, other, one.replace("read", "operate"))
            assert admission.read() == ([], [])
            assert (old.cut, new.cut) == (True, False), "a token that changed its role has gone"
    put(files, one)
    assert admission.read() == ([], [])
    assert not new.cut, "that one had left"


def test_a_connection_that_is_being_closed_is_left_alone(files):
    secret, line = make_token(Role.READ, "a")
    put(files, line)
    admission, closing = Admission(files), Line()
    admission.read()
    closing.closing = True  # asyncio's TLS transport raises when such a one is aborted
    with admission.inside(admission.tokens.find(secret), closing):
        put(files, make_token(Role.READ, "b")[1])
        assert admission.read() == ([], [])


def test_with_a_problem_nothing_changes(files):
    secret, line = make_token(Role.READ, "a")
    put(files, line)
    admission = Admission(files)
    admission.read()
    put(files, "junk")
    ((problem,), _) = admission.read()
    assert (problem.code, problem.path) == ("config-invalid", "api.tokens_file")
    assert str(files.tokens_file) in problem.message
    put(files, make_token(Role.READ, "b")[1])
    files.key.write_text("junk")
    assert [problem.path for problem in admission.read()[0]] == ["api.tls.key"]
    assert admission.tokens.find(secret), "neither is taken without the other"
    assert admission.names.are_ours("vm.example", "")


def test_all_files_that_cannot_be_used_at_once(tmp_path):
    admission = Admission(AccessFiles(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
    assert [problem.path for problem in admission.read()[0]] == ["api.tokens_file", "api.tls.cert", "api.tls.key"]


def test_a_doubtful_certificate_is_a_warning(files):
    put(files, make_token(Role.READ, "a")[1])
    make_certificate(files.cert.parent, days=(-9, -1))
    problems, (warning,) = Admission(files).read()
    assert problems == []
    assert f"{datetime.now(UTC):%Y}"[:2] in warning.message
