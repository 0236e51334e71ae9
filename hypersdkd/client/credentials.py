"""What a client shows to a daemon, and whom it trusts: never from the command line, where every user could read it."""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypersdkd.client.address import Address
from hypersdkd.host.secret_file import read_secret
from hypersdkd.model.problem import fail

#: The environment variables that stand for ``--token-file`` and ``--ca``.
TOKEN_VARIABLE: Final = "HYPERSDKD_TOKEN_FILE"  # noqa: S105 - names a file
CA_VARIABLE: Final = "HYPERSDKD_CA_FILE"

#: Bytes of a token file that are read at most.
_LIMIT: Final = 4096

#: RFC 6750's b64token: what a header may hold.
_TOKEN: Final = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True)
class Credentials:
    """``token`` (empty: none) goes out with every request; ``ca`` is a file of certificates to trust instead of the
    system's (empty: the system's)."""

    token: str = field(default="", repr=False)
    ca: str = ""

    def headers(self, address: Address) -> Mapping[str, str]:
        """What a request to ``address`` shows. A unix socket knows its callers by their user.

        Raises ``usage`` where the token would cross a network for everybody to read.
        """
        if not self.token or address.socket:
            return {}
        if not address.secure and not address.is_local:
            raise fail(
                "usage",
                f"The token is not sent to {address}: it would cross the network unencrypted",
                remedy=f"Call it by https://{address.host}:PORT, or bring its port over: ssh -L 8080:localhost:8080.",
            )
        return {"Authorization": f"Bearer {self.token}"}

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 at least, and a certificate that is for the name called. ``file-unreadable`` for a ``ca`` that is
        none."""
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
        except (OSError, ValueError) as error:
            reason = (
                "it is no certificate in PEM" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "")
            )
            raise fail("file-unreadable", f"{self.ca}: {reason or error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A self-signed certificate is trusted by itself, and one of an authority in between as far as it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context


def find_credentials(token_file: str = "", ca: str = "", environment: Mapping[str, str] = os.environ) -> Credentials:
    """Those of ``--token-file`` and ``--ca``, else of the environment. ``token-unusable`` for a file with none."""
    path = token_file or environment.get(TOKEN_VARIABLE, "")
    return Credentials(_read_token(Path(path)) if path else "", ca or environment.get(CA_VARIABLE, ""))


def _read_token(path: Path) -> str:
    try:
        if stat.S_ISFIFO(path.stat().st_mode):  # as of <(pass show hypersdkd): nobody else's
            with path.open("rb") as pipe:
                text = pipe.read(_LIMIT + 1)
        else:
            text = read_secret(path, _LIMIT + 1)
    except (OSError, ValueError) as error:
        raise fail("token-unusable", f"{path}: {getattr(error, 'strerror', None) or error}") from None
    token = text.strip()
    if len(text) > _LIMIT or not _TOKEN.fullmatch(token):
        raise fail("token-unusable", f"{path} does not hold one token and nothing else")
    return token.decode("ascii")
