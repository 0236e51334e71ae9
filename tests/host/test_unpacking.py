"""What is unpacked is what was packed; a bomb is stopped, and nothing of a failure is left."""

from __future__ import annotations

import gzip
import io
import lzma
import resource
import subprocess
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host import unpacking
from hypersdkd.host.image_file import opened
from hypersdkd.host.tar_index import read_index
from hypersdkd.model.problem import ProblemError
from tests import vmdks
from tests.problems import raises_problem

DATA = vmdks.content() + bytes(3 * vmdks.MIB) + vmdks.noise(777, 3)
#: zstd's command line adds a checksum, its library does not unless asked.
CHECKED = {zstd.CompressionParameter.checksum_flag: 1}
PACKERS = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, options=CHECKED),
}


def unpacked(path: Path, packed: bytes, kind: str, limit: int = 1 << 40) -> Path:
    path.with_suffix(".packed").write_bytes(packed)
    with opened(path.with_suffix(".packed")) as image:
        unpacking.unpack(image, kind, path, lambda _done, _total: None, limit)
    return path


@pytest.mark.parametrize("kind", PACKERS)
def test_round_trip(tmp_path: Path, kind: str) -> None:
    """Also of two streams, one behind the other, and with padding; zeros are holes."""
    pack = PACKERS[kind]
    path = unpacked(tmp_path / "a", pack(DATA), kind)
    assert path.read_bytes() == DATA
    assert path.stat().st_blocks * 512 < len(DATA) - 2 * vmdks.MIB
    twice = unpacked(tmp_path / "b", pack(DATA[:1000]) + pack(DATA[1000:]) + bytes(512), kind)
    assert twice.read_bytes() == DATA


@pytest.mark.parametrize("kind", PACKERS)
def test_damage(tmp_path: Path, kind: str) -> None:
    packed = PACKERS[kind](DATA)
    with raises_problem("image-truncated"):
        unpacked(tmp_path / "a", packed[: len(packed) // 2], kind)
    spoilt = bytearray(packed)
    spoilt[len(packed) // 3] ^= 0xFF
    with raises_problem("image-invalid"):
        unpacked(tmp_path / "b", bytes(spoilt), kind)
    with raises_problem("image-invalid"):
        unpacked(tmp_path / "c", packed + b"words that are no stream", kind)
    with raises_problem("image-limits"):
        unpacked(tmp_path / "d", packed, kind, limit=len(DATA) - 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.packed", "b.packed", "c.packed", "d.packed"]


def test_a_bomb(tmp_path: Path) -> None:
    """Data of one kind, packed a thousand to one, beyond what is free of the ratio."""
    with raises_problem("image-limits"):
        unpacked(tmp_path / "a", zstd.compress(b"bomb" * (40 << 20)), "zstd")
    assert not (tmp_path / "a").exists()


def test_a_file_that_is_too_large_for_its_place(tmp_path: Path) -> None:
    """As 16 TiB are for ext4: the zeros were no write that could fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (vmdks.MIB, before[1]))
    try:
        with raises_problem("output-unwritable", "cannot hold the 2097152 bytes of a.packed: File too large"):
            unpacked(tmp_path / "a", gzip.compress(bytes(2 * vmdks.MIB)), "gzip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "a").exists()


def test_memory(tmp_path: Path) -> None:
    """A window that is larger than is allowed."""
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.enable_long_distance_matching: 1}
    stream = io.BytesIO()
    with zstd.ZstdFile(stream, "w", options=options) as file:
        file.write(DATA)
    with raises_problem("image-limits"):
        unpacked(tmp_path / "a", stream.getvalue(), "zstd")


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_sparse_members(tmp_path: Path, form: str) -> None:
    pieces = [(number * 300_000, vmdks.noise(5000, number)) for number in range(30)]
    with (tmp_path / "disk.raw").open("wb") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
        file.truncate(10_000_001)
    words = ["tar", f"--format={form}", "-S", "-cf", "a.tar", "disk.raw"]
    subprocess.run(words, cwd=tmp_path, check=True)
    with opened(tmp_path / "a.tar") as archive:
        member = read_index(archive)["disk.raw"]
        assert member.sparse == form
        unpacking.unpack_member(archive, member, tmp_path / "out", lambda _done, _total: None)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "disk.raw").read_bytes()


SMALL = {kind: pack(vmdks.noise(3000, 1) + bytes(200_000)) for kind, pack in PACKERS.items()}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SMALL)), st.integers(0, 200), st.binary(max_size=20))
def test_fuzz(tmp_path_factory: pytest.TempPathFactory, kind: str, at: int, data: bytes) -> None:
    place = tmp_path_factory.mktemp("fuzz")
    packed = SMALL[kind]
    try:
        unpacked(place / "a", packed[:at] + data + packed[at + len(data) :], kind)
    except ProblemError as error:
        assert error.problem.code.startswith("image-")
