"""The server's certificate: read, judged, and put into a context that serves by it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from hypersdkd.host.secret_file import expand, read_secret
from hypersdkd.model.problem import Problem

#: Bytes of a certificate chain, and of a key, at most.
FILE_LIMIT: Final = 1024 * 1024

#: How long before its end a certificate is warned of; automatic renewal begins a month before.
NOTICE: Final = timedelta(days=14)

#: Mode bits that a key must not have. Its group may read it, as Debian's ``ssl-cert`` does.
_KEY_FORBIDDEN: Final = 0o027


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says: the names that it is for, and from when to when it counts."""

    names: frozenset[str]
    begins: datetime
    ends: datetime

    def warnings(self, now: datetime) -> list[Problem]:
        """What a client will not like about it at ``now``, or soon."""
        found = []
        if not self.names:
            found.append("it is for no name (no subjectAltName), so that no client takes it")
        if now < self.begins:
            found.append(f"it counts from {self.begins:%Y-%m-%d %H:%M} UTC on")
        if now > self.ends - NOTICE:
            found.append(f"it {'ended' if now > self.ends else 'ends'} on {self.ends:%Y-%m-%d %H:%M} UTC")
        return [Problem("certificate-doubtful", message, path="api.tls.cert") for message in found]


def make_context() -> ssl.SSLContext:
    """A server's context without a certificate: TLS 1.2 at least, and Python's choice of ciphers (Mozilla's
    intermediate set)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def load_certificate(context: ssl.SSLContext, cert: Path, key: Path) -> tuple[Certificate | None, list[Problem]]:
    """Make ``context`` serve by the chain in ``cert`` and the private ``key``, both PEM, also for a context in use.

    With problems nothing has changed.
    """
    problems: list[Problem] = []
    certificate = None
    try:
        certificate = _read(expand(cert))
    except (OSError, ValueError) as error:
        problems.append(_problem("cert", cert, error))
    try:
        read_secret(key, FILE_LIMIT, forbidden=_KEY_FORBIDDEN)
    except OSError as error:
        problems.append(_problem("key", key, error))
    if problems:
        return None, problems
    try:
        for each in (make_context(), context):  # what fails with the first does nothing to the second
            each.load_cert_chain(expand(cert), expand(key), password=_no_password)
    except (OSError, ValueError) as error:
        return None, [_problem("key", key, error)]
    return certificate, []


def _read(path: Path) -> Certificate:
    """The first certificate of a chain. Raises ``OSError`` and ``ValueError``."""
    with path.open("rb") as file:
        text = file.read(FILE_LIMIT)
    try:
        found = x509.load_pem_x509_certificate(text)
    except ValueError:
        raise ValueError("it does not begin with a certificate in PEM") from None
    names: set[str] = set()
    try:
        alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names |= set(alternatives.get_values_for_type(x509.DNSName))
        names |= {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
    except x509.ExtensionNotFound:
        pass
    return Certificate(frozenset(names), _moment(found, "not_valid_before"), _moment(found, "not_valid_after"))


def _moment(found: x509.Certificate, name: str) -> datetime:
    """Since cryptography 42 with a zone and under another name; Debian's 38 has it without one, and means UTC."""
    moment: datetime = getattr(found, f"{name}_utc", None) or getattr(found, name).replace(tzinfo=UTC)
    return moment


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ValueError("the key is encrypted; a service has nobody to ask for the password")


def _problem(which: str, path: Path, error: Exception) -> Problem:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        why = (
            "it is not the certificate's key" if "mismatch" in reason else f"it is not a private key in PEM ({reason})"
        )
    elif isinstance(error, OSError):
        why = error.strerror or str(error)
    else:
        why = str(error)
    return Problem("config-invalid", f"{path}: {why}", path=f"api.tls.{which}")
