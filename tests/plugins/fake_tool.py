"""A qemu-img of the test's own, first on PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

REAL = shutil.which("qemu-img") or "/usr/bin/qemu-img"


def fake_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, command: str = "") -> None:
    """``script`` (of sh) runs instead of qemu-img, or only instead of its ``command``; $REAL is the real one."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    guard = f'[ "$1" = {command} ] || exec $REAL "$@"\n' if command else ""
    (tools / "qemu-img").write_text(f"#!/bin/sh\nREAL={REAL}\n{guard}{script}\n")
    (tools / "qemu-img").chmod(0o755)
    if os.environ["PATH"].split(":")[0] != str(tools):
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
