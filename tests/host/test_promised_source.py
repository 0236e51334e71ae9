"""What a manifest promises of a file is held."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hypersdkd.host.image_file import opened
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.promised_source import relative, require_checksum, require_others, require_size, told
from hypersdkd.model.guest import DiskSource, FilePromise
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


A, B = (f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (b"words", b"others"))
RIGHT = (FilePromise("sub/../b.raw", 6, B), FilePromise("a.raw", 5, A))


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ((), ""),
        (RIGHT, ""),
        ((FilePromise("a.raw"), FilePromise("b.raw", checksum=B.upper().replace("SHA", "sha"))), ""),
        ((*RIGHT, FilePromise("c.raw")), "does not need .*/c.raw, which the manifest names"),
        (RIGHT[:1], "needs .*/a.raw, which the manifest does not name"),
        ((*RIGHT[:1], FilePromise("/srv/a.raw")), "does not need /srv/a.raw"),
        ((FilePromise("b.raw", 7), RIGHT[1]), "b.raw has 6 bytes; the manifest says 7"),
        ((FilePromise("b.raw", 6, A), RIGHT[1]), "b.raw has the checksum"),
    ],
)
def test_further_files_are_those_that_are_promised(tmp_path: Path, files: tuple[FilePromise, ...], match: str) -> None:
    for name, data in (("top.raw", b"top"), ("a.raw", b"words"), ("b.raw", b"others")):
        (tmp_path / name).write_bytes(data)
    checks: list[tuple[str, bool, str]] = []
    with OpenSource([tmp_path], seconds=60) as source:
        source.open(str(tmp_path / "top.raw"))
        for name in ("a.raw", "b.raw"):
            source.open_sibling(name)
        source.open_own(tmp_path / "top.raw")  # made of the source, and no part of it
        digests = source.checksums(lambda _done, _total: None)

        def hold() -> None:
            wanted = DiskSource("raw", str(tmp_path / "top.raw"), files=files)
            require_others(wanted, source.files[0], source.theirs[1:], digests[1:], lambda *told: checks.append(told))

        if match:
            with raises_problem("source-changed", match) as caught:
                hold()
            assert caught[0].remedy
        else:
            hold()
            assert len(checks) == sum(bool(file.checksum) for file in files)
        assert told([file for file, _ in source.theirs], digests)[1:] == [
            {"path": str(tmp_path / "a.raw"), "bytes": 5, "checksum": A},
            {"path": str(tmp_path / "b.raw"), "bytes": 6, "checksum": B},
        ]


def test_files_are_named_from_the_source_on() -> None:
    assert relative("/srv/in/b.raw", "/srv/in/a.raw") == "b.raw"
    assert relative("/srv/in/base/b.raw", "/srv/in/a.raw") == "base/b.raw"
    assert relative("/srv/b.raw", "/srv/in/a.raw") == "/srv/b.raw"
