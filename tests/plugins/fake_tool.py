"""A qemu-img, or another program, of the test's own, first on PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

REAL = shutil.which("qemu-img") or "/usr/bin/qemu-img"


def fake_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, command: str = "") -> None:
    """``script`` (of sh) runs instead of qemu-img, or only instead of its ``command``; $REAL is the real one."""
    guard = f'[ "$1" = {command} ] || exec $REAL "$@"\n' if command else ""
    fake_tool(tmp_path, monkeypatch, "qemu-img", f"REAL={REAL}\n{guard}{script}")


def fake_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """``script`` (of sh) runs instead of the program ``name``."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    (tools / name).write_text(f"#!/bin/sh\n{script}\n")
    (tools / name).chmod(0o755)
    if os.environ["PATH"].split(":")[0] != str(tools):
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
