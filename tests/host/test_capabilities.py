"""What is left of root's powers: those over files."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from hypersdkd.host.capabilities import drop_capabilities
from tests.host.apart import apart


def effective(status: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


@pytest.mark.skipif(os.geteuid() != 0, reason="that takes root")
@pytest.mark.parametrize("but_owners", [False, True])
def test_root_keeps_what_it_needs_for_files(tmp_path: Path, but_owners: bool) -> None:
    other = tmp_path / "other"
    other.write_text("content")
    other.chmod(0)
    os.chown(other, 65534, 65534)

    def kept() -> None:
        assert effective(Path("/proc/self/status").read_text()) == (0x1000000F if but_owners else 0x10000006)

    found = apart(
        lambda: drop_capabilities(but_owners=but_owners),
        kept=kept,
        file=other.read_text,
        user=lambda: os.setuid(65534),
        device=lambda: os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3)),
        owner=lambda: os.chown(tmp_path, 65534, 65534),
        root=lambda: os.chroot(tmp_path),
        packets=lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        memory=Path("/proc/1/environ").read_bytes,
    )
    assert {name for name, result in found.items() if result == "ok"} == {
        "kept",
        "file",
        *(["owner"] if but_owners else []),
    }


def test_a_user_without_any_has_none_afterwards() -> None:
    def child() -> None:
        done = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True)
        assert effective(done.stdout) == 0

    assert apart(lambda: (os.geteuid() or os.setuid(65534), drop_capabilities()), child=child) == {"child": "ok"}
