"""Durable files: nothing is replaced, nothing is followed, and nobody is harmed by the asking."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from hypersdkd.host import files
from tests.privileges import unprivileged


@pytest.fixture(params=["renameat2", "link"])
def rename_new(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path], None]:
    """By the flag, and by a link where the file system has no flag."""
    if request.param == "link":
        monkeypatch.setattr(files, "_libc", SimpleNamespace(renameat2=refuse_the_flag))
    return files.rename_new


def refuse_the_flag(*_: object) -> int:
    """What NFS answers to RENAME_NOREPLACE."""
    files.ctypes.set_errno(errno.EINVAL)
    return -1


HOSTILE = [b"plain", b"-rf", b"new\nline", b"\xff\xfe", b"x" * 255, b"a b\t\x1b[31m", "Ünï\u202ecode".encode()]


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_be_renamed(tmp_path: Path, rename_new: Callable[[Path, Path], None], name: bytes) -> None:
    source, target = tmp_path / os.fsdecode(name), tmp_path / "sub" / os.fsdecode(name)
    target.parent.mkdir()
    source.write_bytes(b"content")
    rename_new(source, target)
    assert target.read_bytes() == b"content"
    assert not source.exists()


def test_nothing_is_replaced(tmp_path: Path, rename_new: Callable[[Path, Path], None]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    for make in (lambda: target.write_text("old"), lambda: target.symlink_to("nowhere")):
        make()
        with pytest.raises(FileExistsError):
            rename_new(source, target)
        assert source.read_text() == "new"
        target.unlink()
    with pytest.raises(FileNotFoundError):
        rename_new(tmp_path / "none", target)


def test_a_symlink_is_moved_not_followed(tmp_path: Path, rename_new: Callable[[Path, Path], None]) -> None:
    (tmp_path / "real").write_text("real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rename_new(tmp_path / "link", tmp_path / "moved")
    assert (tmp_path / "moved").is_symlink()
    assert (tmp_path / "real").read_text() == "real"


def test_a_nul_does_not_cut_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with pytest.raises(ValueError, match="null"):
        files.rename_new(tmp_path / "a\0b", tmp_path / "c")
    assert (tmp_path / "a").exists()


def test_a_kill_between_link_and_unlink_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_libc", SimpleNamespace(renameat2=refuse_the_flag))
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("content")
    target.hardlink_to(source)
    files.rename_new(source, target)
    assert os.listdir(tmp_path) == ["target"]


def test_write_new_is_whole_or_absent(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    files.write_new(scratch, tmp_path / "file", b"one", 0o600)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.write_new(scratch, tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"one"
    with pytest.raises(FileNotFoundError):
        files.write_new(scratch, tmp_path / "none" / "file", b"two")
    assert os.listdir(scratch) == []


def test_write_replacing_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    files.write_replacing(target, b"one")
    files.write_replacing(target, b"two")
    assert target.read_bytes() == b"two"

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        files.write_replacing(target, b"three")
    assert target.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    assert files.read_regular(tmp_path / "file", 4) == b"0123"
    for name, code in (("link", errno.ELOOP), ("fifo", errno.EINVAL), (".", errno.EINVAL)):
        with pytest.raises(OSError) as raised:
            files.open_regular(tmp_path / name)
        assert raised.value.errno == code, name


def test_a_writer_of_another_process_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    command = ["sh", "-c", 'exec 3>>"$0"; echo open; read line', str(path)]
    with path.open("rb") as file:
        assert files.has_writer(file.fileno()) is False
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"open\n"
            assert files.has_writer(file.fileno()) is True
            writer.communicate(b"\n")
        assert files.has_writer(file.fileno()) is False


def test_our_own_writer_counts_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb"), path.open("rb") as file:
        assert files.has_writer(file.fileno()) is True


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_file_of_another_user_cannot_be_judged(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o644)
    with path.open("rb") as file, unprivileged():
        assert files.has_writer(file.fileno()) is None


def test_a_writer_that_comes_during_the_question_ends_nobody(tmp_path: Path) -> None:
    """The kernel signals the holder of a lease; the signal it sends by default ends a process."""
    path = tmp_path / "file"
    path.touch()
    asks = (
        "import os, sys\nfrom hypersdkd.host.files import has_writer\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\nos.set_blocking(0, False)\nprint('asking', flush=True)\n"
        "while sys.stdin.buffer.raw.read(1) is None:\n    for _ in range(50):\n        has_writer(fd)\n"
    )
    command = [sys.executable, "-c", asks, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        assert asker.stdout.readline() == b"asking\n"
        for _ in range(60_000):
            os.close(os.open(path, os.O_WRONLY))
            if asker.poll() is not None:
                break
        asker.communicate(b"x" if asker.poll() is None else None)
    assert asker.returncode == 0, signal.Signals(-asker.returncode)


def test_a_lock_is_one_holders(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert files.is_locked(path) is False
    assert not path.exists(), "asking makes no file"
    first = files.try_lock(path)
    assert first is not None
    assert files.try_lock(path) is None
    assert files.is_locked(path) is True
    os.close(first)
    assert files.is_locked(path) is False


def test_a_lock_ends_with_its_process_and_is_not_inherited(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\nfrom pathlib import Path\nfrom hypersdkd.host.files import try_lock\n"
        "assert try_lock(Path(sys.argv[1])) is not None\n"
        "child = subprocess.Popen(['sleep', '1000'], close_fds=False)\n"
        "print(child.pid, flush=True)\nsys.stdin.read()\n"
    )
    path = tmp_path / "lock"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        assert files.is_locked(path)
        holder.kill()
        holder.wait()
        assert not files.is_locked(path)
        os.kill(child, signal.SIGKILL)


def test_a_tree_is_removed_and_links_out_of_it_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    (tree / "deep" / "deeper").mkdir(parents=True)
    (tree / "deep" / "file").touch()
    (tree / "link").symlink_to(outside)
    files.remove_tree(tree)
    files.remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").exists()


@pytest.mark.parametrize("depth", [3, 1200, 3000])
def test_a_tree_deeper_than_any_path_goes_too(tmp_path: Path, depth: int) -> None:
    """Deeper than Python may recurse, and than a path may be long: somebody made it step by step."""
    tree = tmp_path / "tree"
    tree.mkdir()
    fd = os.open(tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=fd)
        below = os.open("deeper", os.O_RDONLY, dir_fd=fd)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=below))
        os.close(fd)
        fd = below
    os.close(fd)
    files.remove_tree(tree)
    assert not tree.exists()
