"""A plugin that stops a guest in CONVERT at 42 percent until the test lets it go on."""

from __future__ import annotations

import os
from pathlib import Path

from tests.system.daemon_process import until

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
    """A gate in ``directory``; made before the daemon starts, it puts its plugin among the daemon's.

    ``seen_as`` is where a daemon in another mount namespace has that directory.
    """

    def __init__(self, directory: Path, plugins: Path, seen_as: str = "") -> None:
        directory.mkdir()
        plugin = plugins / "page_gate.py"
        plugin.write_text(_PLUGIN.format(gates=seen_as or str(directory)))
        plugin.chmod(0o644)
        self._directory = directory

    @classmethod
    def of(cls, directory: Path) -> Gate:
        """The gate that was put into a running daemon."""
        gate = cls.__new__(cls)
        gate._directory = directory
        return gate

    def shut(self) -> None:
        """Stop guests that come from now on."""
        for path in self._directory.iterdir():
            path.unlink()
        os.mkfifo(self._directory / "gate")

    def open(self) -> None:
        """Let those that wait go on, and stop no more."""
        gate = self._directory / "gate"
        if gate.is_fifo():
            fd = os.open(gate, os.O_RDWR | os.O_NONBLOCK)  # frees those that wait for a writer
            gate.unlink()
            gate.touch()  # who comes now reads an empty file
            os.close(fd)  # the end of the file for all that read it

    def until_reached(self, guest: str) -> None:
        """Wait until that guest stands at the gate."""
        until((self._directory / f"{guest}.reached").exists, self._directory)
