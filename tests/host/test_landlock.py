"""A confined program opens what it was given and nothing else, whatever it is told to open."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host import landlock, qemu_img
from hypersdkd.host.landlock import Confinement, obstacle, version
from hypersdkd.host.process import Finished, run
from tests import images

needs_landlock = pytest.mark.skipif(not version(), reason="this kernel has no Landlock")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("content")
    return tmp_path / "file"


@pytest.fixture
def fd(file: Path) -> Iterator[int]:
    opened = os.open(file, os.O_RDWR)
    yield opened
    os.close(opened)


def shell(script: str, confinement: Confinement | None, *fds: int) -> Finished:
    return run(["sh", "-c", script], timeout=10, pass_fds=fds, confinement=confinement)


@needs_landlock
def test_only_what_is_named_can_be_read(file: Path, fd: int) -> None:
    (file.parent / "other").write_text("canary")
    done = shell(f"cat {file} /proc/self/fd/{fd}; cat {file.parent}/other /etc/passwd", Confinement((fd,)), fd)
    assert (done.stdout, done.returncode) == (b"contentcontent", 1)
    assert done.stderr.count("Permission denied") == 2


@needs_landlock
@pytest.mark.parametrize(
    "script", ["echo x > {file}", "rm {file}", "mv {file} {file}2", "echo x > {new}", "mkdir {new}", "ln -s a {new}"]
)
def test_nothing_else_is_changed(file: Path, fd: int, script: str) -> None:
    done = shell(script.format(file=file, new=file.parent / "new"), Confinement((fd,)), fd)
    assert done.returncode != 0
    assert (file.read_text(), os.listdir(file.parent)) == ("content", ["file"])


@needs_landlock
def test_what_may_be_written_can_be_written_and_cut(file: Path, fd: int) -> None:
    done = shell(f"echo more >> /proc/self/fd/{fd} && truncate -s 9 {file}", Confinement((), (fd,)), fd)
    assert (done.returncode, done.stderr, file.read_text()) == (0, "", "contentmo")


@needs_landlock
def test_no_other_host_is_reached() -> None:
    if version() < 4:
        pytest.skip("this kernel's Landlock knows no network")
    script = "import socket; socket.create_connection(('127.0.0.1', 1), 1)"
    done = run(["/usr/bin/python3", "-I", "-S", "-c", script], timeout=10, confinement=Confinement())
    assert "PermissionError" in done.stderr


@needs_landlock
@pytest.mark.parametrize("action", ["info", "measure", "convert", "check", "compare"])
def test_an_image_that_slipped_past_the_judge_leaks_nothing(tmp_path: Path, action: str) -> None:
    canary = tmp_path / "canary"
    canary.write_bytes(b"canary".ljust(images.SECTOR))
    evil = tmp_path / "evil.vmdk"
    evil.write_bytes(images.descriptor("monolithicFlat", f'RW 1 FLAT "{canary}" 0'))
    target = tmp_path / "target"
    assert images.qemu_img("convert", "-f", "vmdk", "-O", "raw", evil, target), "unconfined it would"
    assert b"canary" in target.read_bytes()
    target.write_bytes(b"")
    source_fd, target_fd = os.open(evil, os.O_RDONLY), os.open(target, os.O_RDWR)
    try:
        source = qemu_img.Source.of_fd(source_fd, "vmdk")
        with pytest.raises(Exception, match=r"Permission denied|canary"):
            if action == "convert":
                qemu_img.convert(source, qemu_img.Conversion("raw"), target_fd, timeout=10)
            elif action == "compare":
                qemu_img.compare(source, source, timeout=10)
            elif action == "measure":
                qemu_img.measure(source, "qcow2")
            else:
                getattr(qemu_img, action)(source)
    finally:
        os.close(source_fd)
        os.close(target_fd)
    assert b"canary" not in target.read_bytes()


def test_obstacles_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 1)
    assert obstacle("qemu-img") is None
    (tmp_path / "qemu-img").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert obstacle("qemu-img") is None, "what counts is where it really lies"
    (tmp_path / "qemu-img").unlink()
    (tmp_path / "qemu-img").write_text("#!/bin/sh")
    (tmp_path / "qemu-img").chmod(0o755)
    found = obstacle("qemu-img")
    assert found is not None
    assert (found.code, "is not below /usr" in found.message) == ("tool-unconfined", True)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSYS, "no Landlock"),
        (errno.EOPNOTSUPP, "started without Landlock"),
        (errno.EPERM, "container's seccomp filter: Operation not permitted"),
    ],
)
def test_why_there_is_no_landlock_is_told(monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    monkeypatch.setattr(landlock, "_ask_version", lambda: (-1, code))
    assert version() == 0
    found = obstacle("qemu-img")
    assert found is not None
    assert words in found.message


def test_without_landlock_programs_run_all_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert shell(f"cat {file}", Confinement()).stdout == b"content"


@needs_landlock
def test_no_descriptor_of_the_rules_is_left_when_a_rule_is_refused() -> None:
    reading, writing = os.pipe()
    before = len(os.listdir("/proc/self/fd"))
    try:
        with pytest.raises(OSError, match="Landlock"):
            shell("true", Confinement((reading,)))
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        os.close(reading)
        os.close(writing)


def test_the_real_tool_is_of_the_system() -> None:
    found = subprocess.run(["which", "qemu-img"], capture_output=True, text=True, check=True).stdout
    assert found.startswith("/usr/")
