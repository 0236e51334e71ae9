"""An appliance's files against what its .mf promises."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypersdkd.host.appliance_checksums import ApplianceChecksums
from hypersdkd.host.image_file import opened
from hypersdkd.host.ovf_manifest import Digest
from hypersdkd.model.problem import Problem
from tests.problems import raises_problem

RIGHT = Digest("sha256", hashlib.sha256(b"words").hexdigest())
WRONG = Digest("sha256", "0" * 64)


class Told:
    """What the checksums say."""

    def __init__(self, promised: dict[str, Digest], name: str = "a.mf", *, lenient: bool = False) -> None:
        self.warnings: list[str] = []
        self.checks: list[bool] = []
        self.checksums = ApplianceChecksums(
            name,
            promised,
            lenient=lenient,
            check=lambda _name, passed, _detail: self.checks.append(passed),
            warn=self.warn,
            on_progress=lambda _done, _total: None,
        )

    def warn(self, problem: Problem) -> None:
        self.warnings.append(problem.message)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"words")
    told = Told({"a": RIGHT})
    with opened(tmp_path / "a") as image:
        for _ in range(2):
            told.checksums.require("a")
            told.checksums.verify("a", image)
        told.checksums.verify("b", image)
    assert (told.checks, told.checksums.verified, told.warnings) == ([True], 1, [])


def test_what_differs_or_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"words")
    strict, lenient = Told({"a": WRONG}), Told({"a": WRONG}, lenient=True)
    with opened(tmp_path / "a") as image:
        with raises_problem("source-checksum", "a has the checksum sha256:"):
            strict.checksums.verify("a", image)
        lenient.checksums.verify("a", image)
    with raises_problem("source-checksum", "a.mf has no checksum of b"):
        strict.checksums.require("b")
    for _ in range(2):
        lenient.checksums.require("b")
    strict.checksums.mention("c")
    assert (len(lenient.warnings), len(strict.warnings)) == (2, 1)


def test_nothing_is_promised_without_a_file() -> None:
    told = Told({}, "")
    told.checksums.require("a")
    told.checksums.mention("a")
    assert told.warnings == []


def test_a_long_file_is_read_later(tmp_path: Path) -> None:
    data = bytes(32 << 20)
    (tmp_path / "a").write_bytes(data)
    right = Digest("sha1", hashlib.sha1(data).hexdigest())
    for promised, problem in ((right, ""), (WRONG, "a has the checksum sha256:")):
        told = Told({"a": promised, "b": RIGHT})
        with opened(tmp_path / "a") as image:
            for _ in range(2):
                told.checksums.verify_later("a", image)
            told.checksums.verify_later("c", image)
        assert (told.checks, told.checksums.unread, told.checksums.verified) == ([], True, 1)
        conclude = told.checksums.hash_the_rest()
        assert (told.checks, told.checksums.unread) == ([], False)
        if problem:
            with raises_problem("source-checksum", problem):
                conclude()
        else:
            conclude()
        assert told.checks == [not problem]


def test_a_short_one_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"words")
    told = Told({"a": RIGHT})
    with opened(tmp_path / "a") as image:
        told.checksums.verify_later("a", image)
    assert (told.checks, told.checksums.unread) == ([True], False)


def test_a_file_that_is_written_to_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(32 << 20))
    told = Told({"a": Digest("sha256", hashlib.sha256(bytes(32 << 20)).hexdigest())})
    with opened(path) as image:
        told.checksums.verify_later("a", image)
    with path.open("r+b") as file:
        file.write(b"x")
    with path.open("r+b") as file:
        file.write(b"\0")
    with raises_problem("source-changed"):
        told.checksums.hash_the_rest()
