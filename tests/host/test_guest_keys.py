"""Keys come from a file that nobody else can read, and what is wrong with it is told without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.host.guest_keys import read_keys
from tests.problems import raises_problem


def test_one_key_a_line(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("sesame open\n\nother\n")
    (tmp_path / "keys").chmod(0o600)
    assert read_keys({"luks_key_file": str(tmp_path / "keys")}) == ["sesame open", "other"]
    assert read_keys({}) == ()
    assert read_keys({"luks_key_file": ""}) == ()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"secret\n", 0o640, "chmod 600"),
        (b"secret\xff\n", 0o600, "is not text"),
        (b"\n", 0o600, "0 lines"),
        (b"secret\n" * 9, 0o600, "9 lines"),
        (None, 0o600, "No such file"),
    ],
)
def test_what_is_wrong_with_it(tmp_path: Path, content: bytes | None, mode: int, words: str) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
        (tmp_path / "keys").chmod(mode)
    with raises_problem("guest-key-unusable", words) as caught:
        read_keys({"luks_key_file": str(tmp_path / "keys")})
    assert "secret" not in repr(caught)
