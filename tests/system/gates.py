"""A qemu-img that waits at a gate before it does a command, so that a test can act at that very moment."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inotify_simple import INotify, flags

from tests.system.daemon_process import PATIENCE

_SCRIPT = """#!/bin/sh
gate="{gates}/$1"
if [ -p "$gate" ]; then
    read -r _ < "$gate"
fi
exec {real} "$@"
"""


class Gates:
    """Gates by the name of the command (``info``, ``convert``); each is a FIFO while it is shut."""

    def __init__(self, root: Path) -> None:
        self.tools = root / "tools"
        self._gates = self.tools / "gates"  # a worker may read here, and write nowhere that a test could look at
        self._gates.mkdir(parents=True)
        self._program = self.tools / "qemu-img"
        self._program.write_text(_SCRIPT.format(gates=self._gates, real=shutil.which("qemu-img")))
        self._program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What puts it first on a daemon's PATH."""
        return {"PATH": f"{self.tools}:{os.environ['PATH']}"}

    def waiting(self, command: str) -> list[int]:
        """Processes that have come to the gate and not been let through."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._waits(pid, command)]

    def _waits(self, pid: int, command: str) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words[1:3] == [os.fsencode(self._program), command.encode()]

    def shut_now(self) -> list[str]:
        """Commands whose gates are shut."""
        return [path.name for path in self._gates.iterdir() if path.is_fifo()]

    def until_waiting(self, command: str, count: int = 1) -> list[int]:
        """Wait until ``count`` of them are there; their IDs."""
        deadline = time.monotonic() + PATIENCE
        with INotify() as opened:
            opened.add_watch(self._program, flags.OPEN)  # the shell does so, just before it comes to the gate
            while len(self.waiting(command)) < count:
                assert time.monotonic() < deadline, f"none came to the gate within {PATIENCE:g} s"
                opened.read(timeout=500)
        return self.waiting(command)

    @contextmanager
    def shut(self, command: str) -> Iterator[None]:
        """Shut a gate; it opens at the end of the block for all that wait there."""
        os.mkfifo(self._gates / command)
        try:
            yield
        finally:
            self.open(command)

    def open(self, command: str) -> None:
        """Open a gate now; it stays open."""
        gate = self._gates / command
        if gate.exists():
            fd = os.open(gate, os.O_RDWR | os.O_NONBLOCK)  # frees those that wait for a writer
            gate.unlink()  # nobody comes to it any more
            os.close(fd)  # the end of the file for all that read it
