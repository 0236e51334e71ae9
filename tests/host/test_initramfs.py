"""An initramfs is read as the kernel reads it: parts in a row, each in its own compression, zeros between."""

from __future__ import annotations

import stat
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host import initramfs as module
from hypersdkd.host.cpio import Member, archive
from hypersdkd.host.initramfs import read_initramfs, with_members
from hypersdkd.model.problem import ProblemError
from tests.initramfs import COMPRESSORS, compressed, early
from tests.problems import raises_problem


def one(name: str, content: bytes = b"x") -> bytes:
    return archive([Member(name, stat.S_IFREG | 0o644, 0, content)])


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_every_compression_between_other_parts(compression: str) -> None:
    big = one("main", b"".join(n.to_bytes(4, "little") for n in range(700_000)))
    data = early() + b"\0" * 512 + compressed(compression, big)
    data += with_members(data, [Member("added", stat.S_IFREG, 0, b"last")])
    found = read_initramfs(data, frozenset({"added"}))
    assert list(found.members) == ["kernel/x86/microcode/GenuineIntel.bin", "main", "added"]
    assert found.members["added"].content == b"last"
    assert found.members["main"].size == 2_800_000
    assert found.compressions == ("", compression, "")


def test_a_later_member_replaces_an_earlier_one() -> None:
    data = compressed("gzip", one("etc/dep", b"old") + b"\0" * 8 + one("etc/dep", b"new"))
    found = read_initramfs(data + compressed("xz", one("other")), frozenset({"dep"}))
    assert found.members["etc/dep"].content == b"new"
    assert "other" in found.members


def test_what_is_added_begins_where_the_kernel_looks_for_it() -> None:
    for length in range(8):
        before = one("a")[: -4 or None] + b"\0" * (4 + length)
        assert (len(before) + with_members(before, []).index(b"070701")) % 4 == 0


def test_links_in_directories_are_followed_inside() -> None:
    members = [
        Member("lib", stat.S_IFLNK | 0o777, 0, b"usr/lib"),
        Member("usr/lib/modules", stat.S_IFLNK | 0o777, 0, b"/m/../n"),
        Member("loop", stat.S_IFLNK | 0o777, 0, b"loop"),
    ]
    found = read_initramfs(archive(members))
    assert found.resolve("lib/x") == "usr/lib/x"
    assert found.resolve("/lib/modules/6.1") == "n/6.1"
    assert found.resolve("lib") == "lib"
    found.resolve("loop/x")  # ends


@pytest.mark.parametrize(
    "data",
    [
        b"\x89LZO\0\r\n\x1a\n more",
        compressed("gzip", one("a"))[:-12],
        compressed("zstd", one("a", bytes(range(200))))[:-20],
        compressed("xz", one("a"))[:30] + b"garbage that is no xz at all",
        compressed("gzip", b"no archive at all"),
        b"\x02\x21\x4c\x18" + b"\x05\0\0\0" + b"\xff\xff\xff\xff\xff",
        one("a")[:40],
        b"MZ",
    ],
    ids=["lzo", "short gzip", "short zstd", "bad xz", "no cpio", "bad lz4", "short cpio", "no initramfs"],
)
def test_what_cannot_be_read_is_told(data: bytes) -> None:
    with raises_problem("guest-file-unusual"):
        read_initramfs(data)


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "lz4"])
def test_a_bomb_ends_at_the_limit(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNPACKED_LIMIT", 8 << 20)
    bomb = compressed(compression, one("zeros", bytes(64 << 20)))
    assert len(bomb) < 400_000
    with raises_problem("guest-file-unusual"):
        read_initramfs(bomb)


@given(st.binary(max_size=300), st.sampled_from(sorted(COMPRESSORS)), st.integers(0, 200))
def test_nothing_but_a_problem_comes_of_damage(noise: bytes, compression: str, at: int) -> None:
    whole = compressed(compression, one("a", b"content"))
    data = whole[:at] + noise + whole[at + len(noise) // 2 :]
    try:
        read_initramfs(data)
    except ProblemError as error:
        assert error.problem.code == "guest-file-unusual"


def test_gzip_that_is_followed_by_zeros_only() -> None:
    assert list(read_initramfs(zlib.compress(one("a"), wbits=31) + b"\0" * 1000).members) == ["a"]
