"""Descriptors: what is let through names no other file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.vmdk_descriptor import looks_like_descriptor, read_descriptor
from hypersdkd.model.problem import ProblemError
from tests.images import descriptor
from tests.problems import raises_problem


def read(text: bytes) -> tuple[str, list[str]]:
    area = text.ljust(10240, b"\0")
    variant, warnings = read_descriptor("disk.vmdk", area, area, 32768)
    return variant, [warning.code for warning in warnings]


def with_line(line: bytes) -> bytes:
    return descriptor().replace(b"version=1\n", b"version=1\n" + line + b"\n")


def with_extent(line: str) -> bytes:
    return descriptor(extents=line)


@pytest.mark.parametrize(
    "text",
    [
        descriptor(),
        descriptor().replace(b"\n", b"\r\n"),
        descriptor("STREAMOPTIMIZED"),
        with_line(b'encoding="windows-1252"'),
        with_line(b"isNativeSnapshot = no"),
        with_line(b'changeTrackPath="disk-ctk.vmdk"'),
        with_line(b'ddb.comment = "anything at all"'),
        with_extent('RDONLY 32768 SPARSE "call-me-stream.vmdk"'),
        with_extent('rw\t32768  sparse "Müller.vmdk" 0'),
        descriptor() + b"\0parent of nothing: after the end",
    ],
)
def test_good(text: bytes) -> None:
    assert read(text) == ("streamOptimized", [])


def test_sizes_that_differ_are_a_warning() -> None:
    assert read(with_extent('RW 1 SPARSE "disk.vmdk"')) == ("streamOptimized", ["image-unclean"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (with_line(b'parentFileNameHint="/etc/passwd"'), "image-backing"),
        (with_line(b'PARENTfilenamehint = "base.vmdk"'), "image-backing"),
        (descriptor() + b'\0parentFileNameHint="base.vmdk"', "image-backing"),
        (descriptor().replace(b"parentCID=ffffffff", b"parentCID=12345678"), "image-backing"),
        (with_extent('RW 32768 FLAT "/etc/passwd" 0'), "image-backing"),
        (with_extent('RW 32768 FLAT "disk-flat.vmdk" 0'), "image-backing"),
        (with_extent('RW 32768 SPARSE "/etc/passwd"'), "image-backing"),
        (with_extent('RW 32768 SPARSE "..\\secret"'), "image-backing"),
        (with_extent('RW 32768 SPARSE "a" "b"'), "image-backing"),
        (with_extent('RW 32768 VMFS "disk.vmdk"'), "image-backing"),
        (with_extent('RW 32768 SPARSE "a.vmdk"\nRW 32768 SPARSE "b.vmdk"'), "image-backing"),
        (with_extent(""), "image-backing"),
        (descriptor("monolithicFlat"), "image-unsupported"),
        (descriptor("twoGbMaxExtentSparse"), "image-unsupported"),
        (descriptor("vmfs"), "image-unsupported"),
        (descriptor().replace(b"createType", b"#"), "image-unsupported"),
        (with_line(b'somethingNew="/etc/passwd"'), "image-unsupported"),
        (with_line(b"what is this"), "image-invalid"),
        (with_line(b"CID=1"), "image-invalid"),
        (with_line(b"\x0bRW 1 FLAT /etc/passwd"), "image-invalid"),
        (b"", "image-unsupported"),
    ],
)
def test_bad(text: bytes, code: str) -> None:
    with raises_problem(code):
        read(text)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_noise_is_refused_or_read_but_never_breaks(noise: bytes, place: int) -> None:
    text = descriptor()
    try:
        variant, _ = read(text[:place] + noise + text[place:])
    except ProblemError:
        return
    assert variant == "streamOptimized"


@pytest.mark.parametrize(
    ("start", "is_one"),
    [
        (b"# Disk DescriptorFile\nversion=1\n", True),
        (b"# disk descriptorFILE", True),
        (b"# Disk DescriptorFile\n".ljust(512, b"\0"), True),
        (b"version=1\n", True),
        (b"  \n# a comment\r\n\r\nversion=3\r\n", True),
        (b"\nVERSION = 1", True),
        (b"", False),
        (b"\0version=1", False),
        (b"# a script\necho", False),
        (b"\xeb\x63\x90GRUB", False),
    ],
)
def test_looks_like_descriptor(start: bytes, is_one: bool) -> None:
    assert looks_like_descriptor(start) is is_one
