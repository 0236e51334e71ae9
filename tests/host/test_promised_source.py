"""What a manifest promises of a file is held."""

from __future__ import annotations

from pathlib import Path

from hypersdkd.host.image_file import opened
from hypersdkd.host.promised_source import require_checksum, require_size
from hypersdkd.model.guest import DiskSource
from tests.problems import raises_problem


def test_promises(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"words")
    told: list[tuple[str, bool, str]] = []

    def check(name: str, passed: bool, detail: str) -> None:
        told.append((name, passed, detail))

    nothing = DiskSource("raw", "/a.raw")
    promised = DiskSource("raw", "/a.raw", size=5, checksum="sha256:AB")
    with opened(tmp_path / "a.raw") as image:
        require_size(nothing, image)
        require_checksum(nothing, image, "sha256:00", check)
        require_size(promised, image)
        require_checksum(promised, image, "sha256:ab", check)
        assert told == [("source-checksum", True, "sha256:ab")]
        with raises_problem("source-changed", "has 5 bytes; the manifest says 6"):
            require_size(DiskSource("raw", "/a.raw", size=6), image)
        with raises_problem("source-changed", "a.raw has the checksum sha256:00"):
            require_checksum(promised, image, "sha256:00", check)
    assert told[1:] == [("source-checksum", False, "sha256:00")]
