"""Bearer tokens: who they stand for and what these may do. Only their SHA-256 is kept, in the file and in memory.

A token is random and at least :data:`BITS` strong: nothing slower than one SHA-256 is needed against guessing.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hypersdkd.model.role import Role

#: What a token must have at least; RFC 6750 asks for tokens that cannot be guessed, RFC 6749 (10.10) for 2^-128.
BITS: Final = 128

#: Bytes of a tokens file at most.
FILE_LIMIT: Final = 256 * 1024

#: Characters of a token at most; one of :data:`_BYTES` has 43.
TOKEN_LIMIT: Final = 512

#: Random bytes of a token that we make.
_BYTES: Final = 32

#: RFC 6750's b64token.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")

#: What a token's characters may all be of, and how many of these there are.
_ALPHABETS: Final = (
    (re.compile(r"[0-9]+"), 10),
    (re.compile(r"[0-9a-f]+|[0-9A-F]+"), 16),
    (re.compile(r"[0-9a-z]+|[0-9A-Z]+"), 36),
    (re.compile(r".+"), 64),
)

_FORM: Final = "must be ROLE NAME sha256:HEX with the role read or operate; hypersdkd --make-token writes such a line"


@dataclass(frozen=True, slots=True)
class Token:
    """A line of the tokens file: the token's ``name`` is what the audit log says."""

    name: str
    role: Role
    digest: bytes


class TokenBook:
    """The tokens in force."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)

    def find(self, presented: str) -> Token | None:
        """The token that was presented, compared with each in the same time; a weak one is none."""
        digest = _digest(presented)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found if is_strong(presented) else None

    def holds(self, token: Token) -> bool:
        """Whether it is (still) in force, with the same role."""
        return token in self._tokens


def parse_tokens(text: bytes) -> tuple[tuple[Token, ...], tuple[str, ...]]:
    """The tokens of a file, and what is wrong with it by line. A line that is no such line is never repeated:
    somebody may have put a token itself there."""
    tokens: list[Token] = []
    wrong: list[str] = []
    if len(text) > FILE_LIMIT:
        return (), (f"is larger than {FILE_LIMIT} bytes",)
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        token = _parse_line(line)
        if token is None:
            wrong.append(f"line {number}: {_FORM}")
        elif any(other.name == token.name for other in tokens):
            wrong.append(f"line {number}: the name {token.name} stands twice")
        elif any(other.digest == token.digest for other in tokens):
            wrong.append(f"line {number}: it is the same token as another line's")
        else:
            tokens.append(token)
    if not tokens and not wrong:
        wrong.append("holds no token: nobody could call the API")
    return tuple(tokens), tuple(wrong)


def make_token(role: Role, name: str) -> tuple[str, str]:
    """A new token, and its line for the tokens file. Raises ``ValueError`` for a name that a file cannot hold."""
    if not _NAME.fullmatch(name):
        raise ValueError("a token's name has 1 to 64 letters, digits and . _ @ -, and begins with none of these signs")
    secret = secrets.token_urlsafe(_BYTES)
    return secret, f"{role} {name} sha256:{_digest(secret).hex()}"


def is_strong(presented: str) -> bool:
    """Whether a token of this length and these characters can have :data:`BITS`, and can be one at all."""
    if not _TOKEN.fullmatch(presented) or len(presented) > TOKEN_LIMIT:
        return False
    core = presented.rstrip("=")
    size = next(size for alphabet, size in _ALPHABETS if alphabet.fullmatch(core))
    return len(core) * math.log2(size) >= BITS


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _parse_line(line: str) -> Token | None:
    words = line.split()
    if len(words) != 3 or words[0] not in {Role.READ, Role.OPERATE} or not _NAME.fullmatch(words[1]):
        return None
    digest = _DIGEST.fullmatch(words[2])
    return Token(words[1], Role(words[0]), bytes.fromhex(digest[1])) if digest else None
