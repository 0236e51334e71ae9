"""Checksums of an appliance, in the spellings of its exporters."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host.image_file import opened
from hypersdkd.host.ovf_manifest import MAX_BYTES, Digest, digest_of, read
from hypersdkd.model.problem import ProblemError
from tests import appliances
from tests.problems import raises_problem

FILES = {"a disk (1).vmdk": b"one", "ä.ovf": b"two"}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize(
    "line",
    [
        "{word}({name})= {digits}\n",
        "{word} ({name}) = {digits}\r\n",
        "{word}({name})={digits}\r",
        "\n {word}({name})= {digits}\n",
    ],
)
def test_spellings(algorithm: str, line: str) -> None:
    found = read(appliances.mf(FILES, algorithm, line), "web01.mf")
    assert found == {name: Digest(algorithm, hashlib.new(algorithm, data).hexdigest()) for name, data in FILES.items()}


def test_case_dashes_and_a_mark_of_order() -> None:
    digits = hashlib.sha256(b"").hexdigest()
    assert read(f"\ufeffsha-256(a)= {digits.upper()}\n".encode(), "m") == {"a": Digest("sha256", digits)}


@pytest.mark.parametrize("form", ["utf-16-le", "utf-16-be"])
def test_what_powershell_writes(form: str) -> None:
    text = "\ufeff" + appliances.mf(FILES).decode().replace("\n", "\r\n")
    assert read(text.encode(form), "m") == read(appliances.mf(FILES), "m")


def test_names_are_known_in_each_spelling_that_may_be_meant() -> None:
    one, two = (Digest("sha1", f"{number:040x}") for number in (1, 2))
    text = f"SHA1(./a.vmdk)= {one.digits}\nSHA1(my%20disk.vmdk)= {two.digits}\nSHA1(a.vmdk)= {one.digits}\n"
    assert read(text.encode(), "m") == {"a.vmdk": one, "my disk.vmdk": two, "my%20disk.vmdk": two}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"SHA1(a%20b)= " + b"0" * 40 + b"\nSHA1(./a b)= " + b"1" * 40, "image-invalid"),
        (b"words\n", "image-invalid"),
        (b"MD5(a)= d41d8cd98f00b204e9800998ecf8427e\n", "image-invalid"),
        (b"SHA256(a)= 00\n", "image-invalid"),
        (b"SHA1(a)= " + b"0" * 40 + b"\nSHA1(a)= " + b"1" * 40, "image-invalid"),
        (b" " * (MAX_BYTES + 1), "image-limits"),
        (b"".join(b"SHA1(%d)= %040d\n" % (n, n) for n in range(1001)), "image-limits"),
    ],
)
def test_refused(text: bytes, code: str) -> None:
    with raises_problem(code):
        read(text, "web01.mf")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_anything(text: bytes) -> None:
    try:
        read(text, "m")
    except ProblemError as error:
        assert error.problem.code in {"image-invalid", "image-limits"}


def test_digest_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    told: list[tuple[int, int]] = []
    with opened(tmp_path / "a") as image:
        assert digest_of(image, "sha512", lambda done, total: told.append((done, total))) == Digest(
            "sha512", hashlib.sha512(data).hexdigest()
        )
        part = image.part(10, 20, "part")
        assert digest_of(part, "sha1", lambda _done, _total: None).digits == hashlib.sha1(data[10:30]).hexdigest()
    assert told[-1] == (len(data), len(data))
