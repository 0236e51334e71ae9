"""A compressed file is told from its beginning."""

from __future__ import annotations

import gzip
import lzma
import os
import random
import struct
from pathlib import Path

import pytest
from backports.zstd import CompressionParameter, ZstdCompressor, compress

from hypersdkd.host import compressed_end
from hypersdkd.host.compressed_end import require_end
from hypersdkd.host.image_file import opened
from hypersdkd.model.problem import ProblemError
from tests import appliances
from tests.problems import raises_problem

NOISE = random.Random(3).randbytes(400_000)
DATA = NOISE + bytes(700_000) + NOISE[:50_000] * 3


def zstd(data: bytes) -> bytes:
    """A frame with a checksum, and one of those that readers skip."""
    packer = ZstdCompressor(options={CompressionParameter.checksum_flag: 1})
    first = packer.compress(data[: len(data) // 2], mode=ZstdCompressor.FLUSH_BLOCK)
    first += packer.compress(data[len(data) // 2 :], mode=ZstdCompressor.FLUSH_FRAME)
    return first + struct.pack("<II", 0x184D2A50, 7) + b"skipped"


LAST = compress(DATA[:1000])
PACKED = {
    "gzip": appliances.gz(DATA),
    "xz": lzma.compress(DATA, preset=0) + lzma.compress(b"more") + bytes(8),
    "zstd": zstd(DATA) + LAST,
}

#: Where the pieces end that they are made of: nobody could tell that more is to come.
ENDS = {
    "gzip": (),
    "xz": range(len(PACKED["xz"]) - 8, len(PACKED["xz"])),
    "zstd": (len(PACKED["zstd"]) - len(LAST), len(PACKED["zstd"]) - len(LAST) - 15),
}


def has_end(path: Path, content: bytes, kind: str) -> bool:
    path.write_bytes(content)
    with opened(path) as image:
        try:
            require_end(image, kind)
        except ProblemError as error:
            assert error.problem.code == "image-truncated"
            return False
    return True


@pytest.mark.parametrize("kind", PACKED)
def test_every_beginning_lacks_its_end(tmp_path: Path, kind: str) -> None:
    whole = PACKED[kind]
    assert has_end(tmp_path / "a", whole, kind)
    for size in sorted({*range(8, 40), *range(40, len(whole), len(whole) // 60), *range(len(whole) - 60, len(whole))}):
        expected = size in ENDS[kind]
        assert has_end(tmp_path / "a", whole[:size], kind) == expected, size


@pytest.mark.parametrize("kind", PACKED)
def test_space_that_was_only_set_aside_is_no_end(tmp_path: Path, kind: str) -> None:
    half = PACKED[kind][: len(PACKED[kind]) // 2]
    if kind == "gzip":  # what is damaged fails when it is loaded
        assert has_end(tmp_path / "a", half + bytes(100_000), kind)
    else:
        assert not has_end(tmp_path / "a", half + bytes(100_000), kind)


def test_an_archive_that_takes_too_long_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the length of what was packed, which has whole blocks; of anything else nobody can tell."""
    monkeypatch.setattr(compressed_end, "_GZIP_UNPACKED", 1000)
    content = appliances.ova(tmp_path / "a.tar", {"disk.raw": NOISE}).read_bytes()
    packed = gzip.compress(content, compresslevel=1)
    assert has_end(tmp_path / "a", packed, "gzip")
    assert not has_end(tmp_path / "a", packed[:-4] + struct.pack("<I", len(content) - 1), "gzip")
    assert not has_end(tmp_path / "a", packed + bytes(16), "gzip")
    cut = [has_end(tmp_path / "a", packed[: len(packed) - 1000 - size], "gzip") for size in range(40)]
    assert cut.count(True) <= 1
    assert has_end(tmp_path / "a", appliances.gz(NOISE)[:-1000], "gzip")


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_damaged_is_nothing_to_wait_for(tmp_path: Path, kind: str) -> None:
    content = bytearray(PACKED[kind])
    content[len(content) // 3 : len(content) // 3 + 40] = os.urandom(40)
    if kind == "zstd":
        content = bytearray(PACKED[kind] + b"words that are no frame")
    assert has_end(tmp_path / "a", bytes(content), kind)


def test_time_is_limited(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(PACKED["zstd"])
    with raises_problem("image-limits"), opened(tmp_path / "a", seconds=-1) as image:
        require_end(image, "zstd")
