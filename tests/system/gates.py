"""A qemu-img that waits at a gate before it does a command, so that a test can act at that very moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.daemon_process import until

_SCRIPT = """#!/bin/sh
gate="{gates}/$1"
if [ -p "$gate" ]; then
    echo $$ > "$gate.$$.reached"
    read -r _ < "$gate"
fi
exec {real} "$@"
"""


class Gates:
    """Gates by the name of the command (``info``, ``convert``); each is a FIFO while it is shut."""

    def __init__(self, root: Path) -> None:
        self.tools = root / "tools"
        self._gates = root / "gates"
        self.tools.mkdir()
        self._gates.mkdir()
        program = self.tools / "qemu-img"
        program.write_text(_SCRIPT.format(gates=self._gates, real=shutil.which("qemu-img")))
        program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What puts it first on a daemon's PATH."""
        return {"PATH": f"{self.tools}:{os.environ['PATH']}"}

    def waiting(self, command: str) -> list[int]:
        """Processes that have come to the gate."""
        return [int(path.read_text() or 0) for path in self._gates.glob(f"{command}.*.reached")]

    def shut_now(self) -> list[str]:
        """Commands whose gates are shut."""
        return [path.name for path in self._gates.iterdir() if path.is_fifo()]

    def until_waiting(self, command: str, count: int = 1) -> list[int]:
        """Wait until ``count`` of them are there; their IDs."""
        until(lambda: len(self.waiting(command)) >= count, self._gates)
        return self.waiting(command)

    @contextmanager
    def shut(self, command: str) -> Iterator[None]:
        """Shut a gate; it opens at the end of the block for all that wait there."""
        gate = self._gates / command
        for mark in self._gates.glob(f"{command}.*.reached"):
            mark.unlink()
        os.mkfifo(gate)
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
