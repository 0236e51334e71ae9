"""Sources are opened only where they may lie, as what they are, when nobody writes to them."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.host.image_source import Lease, fingerprint, judged, open_source
from hypersdkd.model.disk import FileNode, ImageNode, SourceDisk, SourceFile
from tests.privileges import unprivileged
from tests.problems import raises_problem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def disk(root: Path) -> Path:
    (root / "disk.raw").write_bytes(b"content")
    return root / "disk.raw"


def open_and_close(path: Path | str, *roots: Path) -> Path:
    resolved, fd = open_source(str(path), roots)
    assert not os.get_inheritable(fd)
    os.close(fd)
    return resolved


def test_a_file_below_a_root(disk: Path, root: Path, tmp_path: Path) -> None:
    assert open_and_close(disk, tmp_path / "other", root) == disk


def test_links_that_stay_inside_are_followed(disk: Path, root: Path) -> None:
    (root / "link").symlink_to("disk.raw")
    assert open_and_close(root / "link", root) == disk


def test_a_link_out_is_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    (root / "link").symlink_to("../secret")
    (root / "directory").symlink_to(tmp_path)
    for path in (root / "link", root / "directory" / "secret", f"{root}/../secret"):
        with raises_problem("source-outside"):
            open_and_close(path, root)


def test_ways_through_proc_lead_to_where_the_file_is(disk: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("canary")
    with (tmp_path / "secret").open() as secret:
        (root / "link").symlink_to(f"/proc/self/fd/{secret.fileno()}")
        for path in (f"/proc/self/fd/{secret.fileno()}", f"/proc/self/root{tmp_path}/secret", root / "link"):
            with raises_problem("source-outside"):
                open_and_close(path, root)
    assert open_and_close(f"/proc/self/root{disk}", root) == disk


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_root_has_mounted_below_a_root_is_there(root: Path, tmp_path: Path) -> None:
    """Unlike a link, which anyone can make, it is the administrator's word."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "disk.raw").write_bytes(b"content")
    (root / "mounted").mkdir()
    mounted = subprocess.run(["mount", "--bind", tmp_path / "elsewhere", root / "mounted"], check=False)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert open_and_close(root / "mounted" / "disk.raw", root) == root / "mounted" / "disk.raw"
        with raises_problem("source-outside"):
            open_and_close(tmp_path / "elsewhere" / "disk.raw", root)
    finally:
        subprocess.run(["umount", root / "mounted"], check=True)


def test_the_remedy_is_the_line_to_write(disk: Path, tmp_path: Path) -> None:
    with raises_problem("source-outside") as caught:
        open_and_close(disk, tmp_path / "images")
    assert f"workflow: {{source_dirs: [{tmp_path}/images, {tmp_path}/root]}}" in caught[0].remedy


def test_a_root_is_no_prefix_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "root-of-another").write_text("x")
    with raises_problem("source-outside"):
        open_and_close(tmp_path / "root-of-another", tmp_path / "root")


@pytest.mark.parametrize("name", ["missing", "missing/deep", "disk.raw/below", "nul\0", "x" * 300, "\ud800"])
def test_missing(disk: Path, root: Path, name: str) -> None:
    assert disk.exists()
    with raises_problem("source-missing"):
        open_and_close(f"{root}/{name}", root)


@pytest.mark.parametrize("path", ["", "disk.raw", "./disk.raw", "-disk.raw", "nbd://host/x"])
def test_relative(disk: Path, root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with raises_problem("source-missing", "absolute"):
        open_and_close(path, root)


def test_not_regular(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    for name in ("fifo", "socket", "loop", ""):
        with raises_problem("source-not-regular"):
            open_and_close(root / name, root)


def test_a_device() -> None:
    with raises_problem("source-not-regular"):
        open_and_close("/dev/null", Path("/dev"))


def test_unreadable(disk: Path, root: Path) -> None:
    disk.chmod(0)
    with unprivileged(), raises_problem("source-unreadable"):
        open_and_close(disk, root)


def test_a_writer_makes_it_busy(disk: Path, root: Path) -> None:
    with disk.open("ab"), raises_problem("source-busy"):
        open_and_close(disk, root)
    assert open_and_close(disk, root) == disk


def test_no_descriptor_is_left_open(disk: Path, root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with disk.open("ab"), raises_problem("source-busy"):
        open_and_close(disk, root)
    assert len(os.listdir("/proc/self/fd")) == before


def as_disk(*files: SourceFile) -> SourceDisk:
    return SourceDisk(files, ImageNode("raw", FileNode(0)), 512, 7)


def as_judged(path: Path) -> SourceDisk:
    fd = os.open(path, os.O_RDONLY)
    try:
        return as_disk(SourceFile(path, fingerprint(fd)))
    finally:
        os.close(fd)


def test_judged_gives_the_file(disk: Path) -> None:
    with judged(as_judged(disk)) as (fd,):
        assert os.read(fd, 99) == b"content"


def test_another_file_in_its_place(disk: Path) -> None:
    known = as_judged(disk)
    times = disk.stat()
    disk.rename(disk.with_name("old"))
    disk.write_bytes(b"Content")
    os.utime(disk, ns=(times.st_atime_ns, times.st_mtime_ns))
    with raises_problem("source-changed"), judged(known):
        pass


def test_a_link_in_its_place(disk: Path) -> None:
    known = as_judged(disk)
    disk.rename(disk.with_name("old"))
    disk.symlink_to("old")
    with raises_problem("source-changed"), judged(known):
        pass


def test_a_change_meanwhile_even_if_its_time_is_put_back(disk: Path) -> None:
    times = disk.stat()
    with raises_problem("source-changed", "while"), judged(as_judged(disk)):
        disk.write_bytes(b"CONTENT")
        os.utime(disk, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_removal_meanwhile_is_called_so(disk: Path) -> None:
    with raises_problem("source-changed", "removed or replaced") as caught, judged(as_judged(disk)):
        disk.unlink()
    assert "Put the file back" in caught[0].remedy


def test_a_change_is_the_cause_of_what_fails_meanwhile(disk: Path) -> None:
    with raises_problem("source-changed"), judged(as_judged(disk)):
        disk.write_bytes(b"")
        raise RuntimeError("the tool stumbled over it")


def test_what_is_a_queues_own_is_no_source(root: Path) -> None:
    private = root / "queue" / ".hypersdkd" / "jobs"
    private.mkdir(parents=True)
    (private / "guest.json").write_text("{}")
    (root / "link").symlink_to(private)
    for path in (private / "guest.json", root / "link" / "guest.json"):
        with raises_problem("source-outside", "queue's own"):
            open_and_close(path, root)


def test_a_lease_is_refused_while_somebody_writes(disk: Path) -> None:
    with disk.open("ab"), raises_problem("source-busy"):
        Lease(os.open(disk, os.O_RDONLY), "disk")


def test_a_lease_is_broken_by_a_writer_and_ends_with_its_release(disk: Path) -> None:
    lease = Lease(os.open(disk, os.O_RDONLY), "disk")
    os.close(os.open(disk, os.O_RDONLY))
    assert (lease.leased, lease.broken()) == (True, False)
    known = as_disk(replace(as_judged(disk).files[0], held=lease))
    with judged(known):
        pass
    with raises_problem("source-changed", "while"), judged(known), pytest.raises(BlockingIOError):
        os.open(disk, os.O_WRONLY | os.O_NONBLOCK)
    assert lease.broken()
    with raises_problem("source-changed"), judged(known):
        pass
    lease.release()
    lease.release()
    assert not lease.broken()
    disk.write_bytes(b"at once")


def test_a_forgotten_lease_is_released(disk: Path) -> None:
    Lease(os.open(disk, os.O_RDONLY), "disk")
    disk.write_bytes(b"at once")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_where_no_lease_can_be_had_a_write_through_a_mapping_is_noticed(disk: Path) -> None:
    kind = subprocess.run(["stat", "-f", "-c", "%T", disk], capture_output=True, text=True, check=True).stdout.strip()
    if kind == "tmpfs":
        pytest.skip("tmpfs keeps no times of writes through a mapping")
    disk.write_bytes(bytes(4096))
    with open(disk, "r+b") as file, mmap.mmap(file.fileno(), 4096) as mapping:
        mapping[4] = 1  # from now on the page is dirty: further writes leave no mark until it is written out
        fd = os.open(disk, os.O_RDONLY)
        with unprivileged():
            lease = Lease(fd, "disk")
        assert (lease.leased, lease.broken()) == (False, False)
        known = as_disk(SourceFile(disk, fingerprint(fd), lease))
        with raises_problem("source-changed"), judged(known):
            mapping[5] = 1
    lease.release()
