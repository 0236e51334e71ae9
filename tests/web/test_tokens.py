"""Tokens: made, kept as digests, found, and weak ones never."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.role import Role
from hypersdkd.web import tokens as module
from hypersdkd.web.tokens import FILE_LIMIT, Token, TokenBook, is_strong, make_token, parse_tokens


def line(secret: str, role: str = "read", name: str = "a") -> str:
    return f"{role} {name} sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def test_a_token_is_strong_new_and_found_by_its_line():
    secret, written = make_token(Role.OPERATE, "ci@build-1")
    assert make_token(Role.OPERATE, "ci")[0] != secret
    assert len(secret) >= 43
    assert is_strong(secret)
    assert secret not in written
    tokens, wrong = parse_tokens(f"# who may\n\n  {written}  \r\n{line('x' * 40, name='b')}\n".encode())
    assert wrong == ()
    assert [(token.name, token.role) for token in tokens] == [("ci@build-1", Role.OPERATE), ("b", Role.READ)]
    book = TokenBook(tokens)
    assert book.find(secret) == tokens[0]
    assert book.find(secret[:-1]) is None
    assert book.find(secret + "=") is None
    assert book.find("") is None


def test_every_token_is_compared_also_after_the_right_one(monkeypatch):
    secret, written = make_token(Role.READ, "first")
    tokens, _ = parse_tokens(
        "\n".join([written, *(make_token(Role.READ, f"n{each}")[1] for each in range(9))]).encode()
    )
    compared = []
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append(a) or a == b)
    for presented in (secret, "wrong"):
        compared.clear()
        TokenBook(tokens).find(presented)
        assert len(compared) == 10


@pytest.mark.parametrize(
    ("secret", "strong"),
    [
        ("a" * 21, False),
        ("0123456789abcdef" * 2, True),  # openssl rand -hex 16
        ("0123456789abcdef" * 2, True),
        ("0123456789abcdef0123456789abcde", False),
        ("7" * 38, False),
        ("7" * 39, True),
        ("AbCdEfGhIjKlMnOpQrStU-", True),  # 22 characters of base64url
        ("AbCdEfGhIjKlMnOpQrStU", False),
        ("AbCdEfGhIjKlMnOpQrStUv==", True),
        ("A" * 513, False),
        ("AbCdEfGhIjKlMnOpQrStUv Wx", False),
        ("AbCdEfGhIjKlMnOpQrStUvW\u00fc", False),
        ("=" * 40, False),
    ],
)
def test_128_bits_at_least(secret, strong):
    assert is_strong(secret) is strong
    found = TokenBook([Token("a", Role.READ, hashlib.sha256(secret.encode()).digest())]).find(secret)
    assert (found is not None) is strong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no token"),
        ("# read a sha256:00\n", "holds no token"),
        ("hunter2-hunter2-hunter2", "line 1: must be ROLE NAME sha256:HEX"),
        (f"{line('a')}\nread b", "line 2"),
        (line("a", role="admin"), "line 1"),
        (line("a", role="anyone"), "line 1"),
        (line("a", name="-a"), "line 1"),
        (line("a", name="a" * 65), "line 1"),
        (line("a").replace("sha256:", "md5:"), "line 1"),
        (line("a").upper(), "line 1"),
        (f"{line('a')}\n{line('b')}", "line 2: the name a stands twice"),
        (f"{line('a')}\n{line('a', name='b')}", "line 2: it is the same token"),
        ("#" * (FILE_LIMIT + 1), "larger than"),
    ],
)
def test_what_is_no_tokens_file(text, said):
    _, wrong = parse_tokens(text.encode())
    assert said in wrong[0]
    assert "hunter2" not in "".join(wrong), "somebody may have put a token itself there"


@given(st.binary(max_size=200))
def test_any_bytes_are_tokens_or_wrong(text):
    tokens, wrong = parse_tokens(text)
    assert tokens or wrong


def test_a_name_that_a_file_cannot_hold():
    for name in ("", "a b", "a\nb", "-x", "ü"):
        with pytest.raises(ValueError, match="name"):
            make_token(Role.READ, name)


def test_roles():
    assert Role.OPERATE.allows(Role.READ)
    assert Role.READ.allows(Role.READ)
    assert Role.READ.allows(Role.ANYONE)
    assert not Role.READ.allows(Role.OPERATE)
