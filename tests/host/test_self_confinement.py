"""What a confined process cannot do, and what is said where a kernel cannot see to it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.host import landlock, sockets
from hypersdkd.host.landlock import Confinement, version
from hypersdkd.host.self_confinement import confine_self, shortcoming
from tests.host.apart import apart

pytestmark = pytest.mark.skipif(not version(), reason="this kernel has no Landlock")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("read", "own", "run", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    return tmp_path


def confinement(place: Path) -> Confinement:
    return Confinement(
        read=(str(place / "read"), str(place / "absent")),
        write=("/dev/zero",),
        run=(str(place / "run"),),
        own=(str(place / "own"),),
    )


def test_files(place: Path) -> None:
    own = place / "own"
    found = apart(
        lambda: confine_self(confinement(place)),
        read=lambda: (place / "read/file").read_text(),
        read_other=lambda: (place / "other/file").read_text(),
        read_passwords=lambda: Path("/etc/shadow").read_text(),
        list_read=lambda: os.listdir(place / "read"),
        list_run=lambda: os.listdir(place / "run"),
        write_read=lambda: (place / "read/file").write_text(""),
        truncate_read=lambda: os.truncate(place / "read/file", 0),
        make_read=lambda: (place / "read/new").write_text(""),
        make_run=lambda: (place / "run/new").write_text(""),
        remove_other=lambda: (place / "other/file").unlink(),
        rename_other=lambda: (place / "other/file").rename(place / "other/moved"),
        move_in=lambda: (place / "read/file").rename(own / "moved"),
        link_in=lambda: (own / "hard").hardlink_to(place / "read/file"),
        read_own=lambda: (own / "file").read_text(),
        write_own=lambda: (own / "new").write_text("new"),
        list_own=lambda: os.listdir(own),
        rename_own=lambda: (own / "new").rename(own / "newer"),
        directory_own=lambda: (own / "deep").mkdir(),
        fifo_own=lambda: os.mkfifo(own / "deep/fifo"),
        device_own=lambda: os.mknod(own / "null", 0o20666, os.makedev(1, 3)),
        by_link=lambda: ((own / "link").symlink_to(place / "other/file"), (own / "link").read_text()),
        device=lambda: Path("/dev/zero").write_bytes(b"x"),
    )
    allowed = {"read", "list_run", "read_own", "write_own", "list_own", "rename_own"}
    allowed |= {"directory_own", "fifo_own", "device"}
    assert {name for name, result in found.items() if result == "ok"} == allowed
    assert (place / "read/file").read_text() == (place / "other/file").read_text() == "content"


def test_nothing_that_was_written_is_executed(place: Path) -> None:
    for name in ("own", "run"):
        (place / name / "program").write_text("#!/bin/sh\nexit 0\n")
        (place / name / "program").chmod(0o755)
    found = apart(
        lambda: confine_self(confinement(place)),
        own=lambda: os.execv(place / "own/program", ["program"]),
        run=lambda: os.execv(place / "run/program", ["program"]),  # ends the process, with status 0
    )
    assert found == {"own": "PermissionError"}


def test_nobody_is_talked_to(place: Path) -> None:
    with socket.socket() as listening, socket.socket(socket.AF_UNIX) as abstract:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        abstract.bind(f"\0hypersdkd-test-{os.getpid()}")
        abstract.listen()
        found = apart(
            lambda: confine_self(confinement(place), appliance=True),
            connect=lambda: socket.create_connection(listening.getsockname(), 5),
            bind=lambda: socket.socket().bind(("127.0.0.1", 0)),
            abstract=lambda: socket.socket(socket.AF_UNIX).connect(abstract.getsockname()),
        )
    assert set(found.values()) == {"PermissionError"}


def test_nobody_is_killed_or_read(place: Path) -> None:
    if version() < landlock.SCOPES_FROM:
        pytest.skip("this kernel's Landlock knows no signals")
    parent = os.getpid()
    found = apart(
        lambda: confine_self(replace(confinement(place), run=("/proc",))),
        kill=lambda: os.kill(parent, signal.SIGTERM),
        probe=lambda: os.kill(parent, 0),
        environment=lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        map=lambda: Path(f"/proc/{parent}/maps").read_bytes(),
        memory=lambda: open(f"/proc/{parent}/mem", "rb").close(),
        descriptor=lambda: os.readlink(f"/proc/{parent}/fd/0"),
        root=lambda: os.listdir(f"/proc/{parent}/root"),
        itself=lambda: os.kill(os.getpid(), 0),
        own_environment=Path("/proc/self/environ").read_bytes,
        others_command=lambda: Path(f"/proc/{parent}/cmdline").read_bytes(),
    )
    assert {name for name, result in found.items() if result == "ok"} == {"itself", "own_environment", "others_command"}


@pytest.mark.parametrize(
    ("kernel", "seccomp", "words"),
    [
        (0, False, "open any file that the daemon can and send signals to the daemon and connect to other hosts"),
        (0, True, "open any file that the daemon can and send signals to the daemon: Landlock is refused here"),
        (2, True, "send signals to the daemon: this kernel's Landlock has version 2"),
        (6, False, "connect to other hosts"),
        (6, True, ""),
        (99, True, ""),
    ],
)
def test_what_a_kernel_cannot_do_is_said(
    monkeypatch: pytest.MonkeyPatch, kernel: int, seccomp: bool, words: str
) -> None:
    monkeypatch.setattr(landlock, "_ask_version", lambda: (kernel, 0) if kernel else (-1, errno.EPERM))
    monkeypatch.setattr(sockets, "can_refuse", lambda: seccomp)
    assert shortcoming().startswith(words) and bool(shortcoming()) == bool(words)


@pytest.mark.parametrize("kernel", range(1, 8))
def test_each_versions_rules_are_taken(place: Path, monkeypatch: pytest.MonkeyPatch, kernel: int) -> None:
    """A newer kernel takes the rules of an older one's: what is asked for is what that version knows."""
    if version() < kernel:
        pytest.skip("this kernel's Landlock is older")
    monkeypatch.setattr(landlock, "version", lambda: kernel)
    found = apart(
        lambda: confine_self(confinement(place)),
        other=lambda: (place / "other/file").read_text(),
        own=lambda: (place / "own/file").write_text(str(time.time())),
    )
    assert found == {"other": "PermissionError", "own": "ok"}


def test_without_landlock_files_are_open(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert apart(lambda: confine_self(confinement(place)), other=(place / "other/file").read_text) == {"other": "ok"}
