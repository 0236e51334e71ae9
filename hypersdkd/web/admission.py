"""Who is let in: the tokens, the certificate and the names in force, and how they are read again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web

from hypersdkd.host.secret_file import read_secret
from hypersdkd.model.problem import Problem
from hypersdkd.web.attempts import Attempts
from hypersdkd.web.connections import hang_up
from hypersdkd.web.hosts import HostNames
from hypersdkd.web.tls import load_certificate, make_context
from hypersdkd.web.tokens import FILE_LIMIT, Token, TokenBook, parse_tokens


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """Where tokens and certificate are, and further names of the daemon; the ``api`` part of the configuration."""

    tokens_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    names: tuple[str, ...] = ()


class Admission:
    """What is asked of callers. Without files: no token, no TLS, and only this machine's own names.

    ``tokens`` is ``None`` when none are asked for, ``tls`` when none is spoken.
    """

    def __init__(self, files: AccessFiles | None = None) -> None:
        self._files = files or AccessFiles()
        self.tokens: TokenBook | None = TokenBook(()) if self._files.tokens_file else None
        self.tls: ssl.SSLContext | None = make_context() if self._files.cert and self._files.key else None
        self.names = HostNames.of(self._files.names)
        self.attempts = Attempts()
        self._inside: set[tuple[Token, asyncio.Transport]] = set()

    @property
    def beyond_loopback(self) -> bool:
        """Whether enough is asked of callers to let other machines call."""
        return self.tokens is not None and self.tls is not None

    def read(self) -> tuple[list[Problem], list[Problem]]:
        """Read the files, again too: every problem, and every warning. With a problem nothing changes.

        What comes later goes by the new ones. Connections of a token that has gone, or changed its role, are closed.
        """
        problems: list[Problem] = []
        warnings: list[Problem] = []
        book = self._read_tokens(problems)
        names = self.names
        if self.tls and self._files.cert and self._files.key:
            # The last that can fail, and the first that is in force: nothing is loaded when the tokens are not fine.
            context = make_context() if problems else self.tls
            certificate, wrong = load_certificate(context, self._files.cert, self._files.key)
            problems += wrong
            if certificate is not None:
                names = HostNames.of(self._files.names, certificate.names)
                warnings = certificate.warnings(datetime.now(UTC))
        if not problems:
            self.tokens, self.names = book, names
            self._send_out()
        return problems, warnings

    @contextmanager
    def inside(self, token: Token, transport: asyncio.Transport | None) -> Iterator[None]:
        """While a request of ``token`` is answered."""
        entry = (token, transport) if transport is not None else None
        if entry is not None:
            self._inside.add(entry)
        try:
            yield
        finally:
            if entry is not None:
                self._inside.discard(entry)

    def _read_tokens(self, problems: list[Problem]) -> TokenBook | None:
        path = self._files.tokens_file
        if path is None:
            return None
        try:
            tokens, wrong = parse_tokens(read_secret(path, FILE_LIMIT + 1))
        except OSError as error:
            tokens, wrong = (), (error.strerror or str(error),)
        problems += [Problem("config-invalid", f"{path}: {each}", path="api.tokens_file") for each in wrong]
        return TokenBook(tokens)

    def _send_out(self) -> None:
        for token, transport in list(self._inside):
            if self.tokens is None or not self.tokens.holds(token):
                hang_up(transport)


#: The admission of an application.
ADMISSION: Final = web.AppKey("admission", Admission)
