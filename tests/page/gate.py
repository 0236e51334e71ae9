"""A plugin that stops a guest in CONVERT at 42 percent until the test lets it go on."""

from __future__ import annotations

import os
from pathlib import Path

from hypersdkd.engine.journal import JOURNAL, read_journal
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
        (GATES / "gate").read_bytes()


@hookimpl
def hypersdkd_steps():
    return [Step("gate", Stage.CONVERT, wait, order=-1000)]
"""


class Gate:
    """A gate among a daemon's drop-in plugins, where workers may read; made before the daemon starts."""

    def __init__(self, plugins: Path) -> None:
        self._directory = plugins / "gate"

    def install(self, seen_as: str = "") -> Gate:
        """Put the plugin in place; ``seen_as`` is where a daemon in another mount namespace has the directory."""
        self._directory.mkdir()
        plugin = self._directory.parent / "page_gate.py"
        plugin.write_text(_PLUGIN.format(gates=f"{seen_as or self._directory.parent}/gate"))
        plugin.chmod(0o644)
        return self

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


def at_the_gate(base: Path) -> set[str]:
    """Guests of a queue that have come to the gate, by what they told last."""
    found = set()
    for journal in base.glob(f".hypersdkd/jobs/*/*/{JOURNAL}"):
        last = read_journal(journal.parent)[-1:]
        found.update(event.vm for event in last if event.data.get("percent") == 42)
    return found


def until_gated(base: Path, *guests: str) -> None:
    """Wait until these guests of a queue stand at the gate."""
    until(lambda: set(guests) <= at_the_gate(base), base)
