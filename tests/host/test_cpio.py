"""Archives of an initramfs: ours are read by cpio itself, cpio's by us, and nothing else is believed."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.cpio import Member, archive, members
from tests.problems import raises_problem

NAMES = st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",)), min_size=1, max_size=40).filter(
    lambda name: name not in {".", "..", "TRAILER!!!"}
)


class Bytes(io.BytesIO):
    """A stream over memory."""

    def skip(self, size: int) -> None:
        self.seek(size, io.SEEK_CUR)


@given(st.dictionaries(NAMES, st.binary(max_size=100), max_size=6))
def test_what_is_written_is_read_again(files: dict[str, bytes]) -> None:
    made = archive([Member(name, stat.S_IFREG | 0o644, len(data), data) for name, data in files.items()])
    found = list(members(Bytes(made), frozenset(files), 1000))
    assert {member.name: member.content for member in found} == files
    assert len(made) % 4 == 0


def test_contents_are_read_only_if_they_are_asked_for_and_small() -> None:
    made = archive([Member(name, stat.S_IFREG, 0, b"x" * 9) for name in ("a/dep", "a/big", "other")])
    found = {member.name: member.content for member in members(Bytes(made), frozenset({"dep"}), 9)}
    assert found == {"a/dep": b"x" * 9, "a/big": None, "other": None}
    assert [member.content for member in members(Bytes(made), frozenset({"dep"}), 8)] == [None, None, None]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_cpio_reads_ours_and_we_read_what_cpio_writes(tmp_path: Path) -> None:
    ours = archive([Member("d", stat.S_IFDIR | 0o755, 0), Member("d/f", stat.S_IFREG | 0o640, 5, b"hello")])
    subprocess.run(["cpio", "-idm", "--quiet"], input=ours, cwd=tmp_path, check=True, timeout=30)
    assert (tmp_path / "d/f").read_bytes() == b"hello"
    assert stat.S_IMODE((tmp_path / "d/f").stat().st_mode) == 0o640
    (tmp_path / "l").symlink_to("d")
    names = b"./d\n./d/f\n./l\n"
    done = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=names, cwd=tmp_path, check=True, capture_output=True, timeout=30
    )
    found = {member.name: member.content for member in members(Bytes(done.stdout), frozenset({"f"}), 100)}
    assert found == {"d": None, "d/f": b"hello", "l": b"d"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda made: made[:60],
        lambda made: made[:130],
        lambda made: b"070707" + made[6:],
        lambda made: made[:6] + b"ZZZZZZZZ" + made[14:],
        lambda made: made[:94] + b"FFFFFFFF" + made[102:],
        lambda made: made[:54] + b"FFFFFFFF" + made[62:],
    ],
    ids=["short header", "no trailer", "old format", "no number", "huge name", "huge content"],
)
def test_what_the_kernel_would_stop_at_is_refused(damage: object) -> None:
    assert callable(damage)
    made = damage(archive([Member("etc/wanted", stat.S_IFREG, 0, b"content")]))
    with raises_problem("guest-file-unusual"):
        list(members(Bytes(made), frozenset({"wanted"}), 1 << 40))
