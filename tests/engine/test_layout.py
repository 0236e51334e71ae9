"""A queue's directories are made, checked, and worked by one daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.engine.layout import QueueLayout
from tests.privileges import unprivileged
from tests.problems import raises_problem


def test_a_queue_is_made_where_there_is_none(tmp_path: Path) -> None:
    layout = QueueLayout(tmp_path / "new" / "base")
    layout.prepare()
    layout.prepare()
    assert {path.name for path in layout.base.iterdir()} == {
        "to_be_processed",
        "processing",
        "processed",
        "failed",
        ".hypersdkd",
    }
    assert layout.private.stat().st_mode & 0o007 == 0, "journals and claims are not for everybody"


def test_a_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "processing").touch()
    with raises_problem("queue-unusable", "processing"):
        QueueLayout(tmp_path).prepare()


def test_a_queue_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    QueueLayout(Path()).prepare()
    Path("to_be_processed").chmod(0o500)
    with unprivileged(), raises_problem("queue-unusable", "to_be_processed cannot be written by user"):
        QueueLayout(Path()).prepare()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second file system")
def test_a_queue_on_two_file_systems(tmp_path: Path) -> None:
    elsewhere = Path(f"/dev/shm/hypersdkd-test-{os.getpid()}")
    elsewhere.mkdir()
    try:
        (tmp_path / "processed").symlink_to(elsewhere)
        with raises_problem("queue-split", "processed"):
            QueueLayout(tmp_path).prepare()
    finally:
        elsewhere.rmdir()


def test_one_daemon_works_a_queue_until_its_process_ends(tmp_path: Path) -> None:
    layout = QueueLayout(tmp_path)
    layout.prepare()
    code = (
        "import sys\nfrom pathlib import Path\nfrom hypersdkd.engine.layout import QueueLayout\n"
        "QueueLayout(Path(sys.argv[1])).lock()\nprint(flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with raises_problem("queue-locked"):
            layout.lock()
        other.kill()
        other.wait()
    os.close(layout.lock())


def test_drafts_of_a_killed_daemon_are_cleared(tmp_path: Path) -> None:
    layout = QueueLayout(tmp_path)
    layout.prepare()
    (layout.scratch / ".draft-1").touch()
    (layout.scratch / "directory").mkdir()
    (layout.scratch / "directory" / "file").touch()
    (layout.scratch / "link").symlink_to(layout.drop)
    layout.clear_scratch()
    assert list(layout.scratch.iterdir()) == []
    assert layout.drop.exists()


def test_a_draft_that_cannot_be_cleared_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = QueueLayout(tmp_path)
    layout.prepare()
    (layout.scratch / "stays").mkdir()
    (layout.scratch / "goes").touch()

    def refuse(_directory: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hypersdkd.engine.layout.remove_tree", refuse)
    layout.clear_scratch()
    assert [path.name for path in layout.scratch.iterdir()] == ["stays"]


def test_the_days_that_there_are(tmp_path: Path) -> None:
    layout = QueueLayout(tmp_path)
    layout.prepare()
    (layout.processed / "2026-01-01").mkdir()
    (layout.failed / "2026-01-02").mkdir()
    (layout.failed / "file").touch()
    (layout.failed / "link").symlink_to(layout.drop)
    assert set(layout.dated()) == {layout.processed / "2026-01-01", layout.failed / "2026-01-02"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_is_mounted_read_only_is_not_told_as_a_matter_of_rights(tmp_path: Path) -> None:
    """As a unit's sandbox shows what it does not open: its owner is the right one, and cannot write it either."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    look = "import sys; from pathlib import Path; from hypersdkd.engine.layout import hindrance\n"
    look += "for name in '.', 'new': print(hindrance(Path(sys.argv[1], name)))"
    python = [sys.executable, "-c", look, str(tmp_path)]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, str(tmp_path), *python]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition(" is read-only here, ")[0] for line in told] == [str(tmp_path), f"{tmp_path}/new"]
    assert all("ReadWritePaths=" in line for line in told)
