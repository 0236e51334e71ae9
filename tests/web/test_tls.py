"""The certificate: what is taken, what is refused and why, and what is warned of."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from hypersdkd.web.tls import load_certificate, make_context
from tests.certificates import NAMES, make_certificate


def refusal(cert, key) -> dict[str, str]:
    context = make_context()
    certificate, problems = load_certificate(context, cert, key)
    assert certificate is None
    assert {problem.code for problem in problems} == {"config-invalid"}
    return {problem.path: problem.message for problem in problems}


def test_a_good_one(tmp_path):
    context = make_context()
    certificate, problems = load_certificate(context, *make_certificate(tmp_path))
    assert (problems, context.minimum_version) == ([], ssl.TLSVersion.TLSv1_2)
    assert certificate.names == set(NAMES)
    assert certificate.warnings(datetime.now(UTC)) == []


@pytest.mark.parametrize(
    ("days", "names", "said"),
    [
        ((-9, -1), NAMES, "it ended on"),
        ((-9, 13), NAMES, "it ends on"),
        ((2, 90), NAMES, "it counts from"),
        ((-1, 90), (), "no subjectAltName"),
    ],
)
def test_what_clients_will_not_like_is_a_warning(tmp_path, days, names, said):
    certificate, problems = load_certificate(make_context(), *make_certificate(tmp_path, names, days=days))
    assert problems == []
    (warning,) = certificate.warnings(datetime.now(UTC))
    assert (warning.code, warning.path) == ("certificate-doubtful", "api.tls.cert")
    assert said in warning.message
    if names:
        middle = certificate.begins + timedelta(hours=1)
        assert (certificate.warnings(middle) == []) is (certificate.ends - middle > timedelta(days=14))


def test_each_file_that_cannot_be_used_is_told_with_its_path(tmp_path):
    cert, key = make_certificate(tmp_path)
    none = tmp_path / "none"
    found = refusal(none, none)
    assert found == dict.fromkeys(("api.tls.cert", "api.tls.key"), f"{none}: No such file or directory")
    assert "does not begin with a certificate" in refusal(key, key)["api.tls.cert"]
    cert.chmod(0o600)
    assert "not a private key in PEM" in refusal(cert, cert)["api.tls.key"]
    _, other = make_certificate(tmp_path, stem="other")
    assert "not the certificate's key" in refusal(cert, other)["api.tls.key"]
    _, locked = make_certificate(tmp_path, stem="locked", password=b"x")
    assert "encrypted" in refusal(cert, locked)["api.tls.key"]
    key.chmod(0o644)
    assert f"chmod 640 {key}" in refusal(cert, key)["api.tls.key"]
    key.chmod(0o640)  # as Debian's group ssl-cert has it
    assert load_certificate(make_context(), cert, key)[1] == []


def test_a_context_in_use_keeps_what_it_has_when_the_new_one_is_bad(tmp_path):
    cert, key = make_certificate(tmp_path)
    context = make_context()
    assert load_certificate(context, cert, key)[1] == []
    before = context.cert_store_stats()
    key.write_text("junk")
    key.chmod(0o600)
    assert load_certificate(context, cert, key)[1]
    assert context.cert_store_stats() == before
