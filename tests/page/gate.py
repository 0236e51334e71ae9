"""A plugin that stops a guest in CONVERT at 42 percent until the test lets it go on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tests.system.daemon_process import DaemonProcess, until

#: Guests whose name begins with ``gated`` stop; the gate is a FIFO, so nothing has to be asked again and again.
_PLUGIN = """
import pathlib

from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Step

GATES = pathlib.Path({gates!r})


def wait(context):
    if context.guest.name.startswith("gated"):
        context.progress(42 << 20, 100 << 20)
        (GATES / (context.guest.name + ".reached")).touch()
        (GATES / "gate").read_bytes()


@hookimpl
def hypersdkd_steps():
    return [Step("gate", Stage.CONVERT, wait, order=-1000)]
"""


class Gate:
    """Put it into a daemon that has not started yet."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._directory = daemon.root / "page-gate"
        self._directory.mkdir()
        plugin = daemon.plugins / "page_gate.py"
        plugin.write_text(_PLUGIN.format(gates=str(self._directory)))
        plugin.chmod(0o644)
        self.shut()

    def shut(self) -> None:
        """Stop guests that come from now on."""
        (self._directory / "gate").unlink(missing_ok=True)
        os.mkfifo(self._directory / "gate")

    def open(self) -> None:
        """Let those that wait go on, and stop no more."""
        gate = self._directory / "gate"
        with suppress(OSError):
            fd = os.open(gate, os.O_RDWR | os.O_NONBLOCK)
            gate.unlink()
            gate.touch()  # who comes now reads an empty file
            os.close(fd)

    def until_reached(self, guest: str) -> None:
        """Wait until that guest stands at the gate."""
        until(Path(self._directory / f"{guest}.reached").exists, self._directory)
