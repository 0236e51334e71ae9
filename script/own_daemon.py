"""A daemon of this checkout on a queue of its own, for as long as a ``with`` block."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BIN = Path(__file__).resolve().parent.parent / ".venv/bin"

#: Seconds to wait for the daemon to come up or go down.
PATIENCE = 60

CONFIGURATION = """\
mode: manifest
workflow:
  base_dir: {base}/queue
  source_dirs: [{base}/exports]
  output_dir: {base}/output
  drain_seconds: 0
api:
  listen: ["127.0.0.1:{port}"]
plugins:
  dirs: []
"""


class NotStartedError(Exception):
    """The daemon did not start; the message is its log."""


@dataclass(frozen=True)
class OwnDaemon:
    """Sources go below ``exports``; the API is at ``url``."""

    base: Path
    url: str
    process: subprocess.Popen[bytes]

    @property
    def queue(self) -> Path:
        return self.base / "queue"

    @property
    def exports(self) -> Path:
        return self.base / "exports"

    @property
    def output(self) -> Path:
        return self.base / "output"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def own_daemon(base: Path, *, keep: bool = False) -> Iterator[OwnDaemon]:
    """Start a daemon whose files all lie below ``base``, ready for work; stop it unless ``keep``."""
    port = free_port()
    (base / "exports").mkdir(exist_ok=True)
    (base / "hypersdkd.yaml").write_text(CONFIGURATION.format(base=base, port=port))
    with (base / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "hypersdkd", "--config", base / "hypersdkd.yaml"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    daemon = OwnDaemon(base, f"http://127.0.0.1:{port}", process)
    leave_it = False
    try:
        _wait_until_ready(daemon)
        yield daemon
        leave_it = keep
    finally:
        if not leave_it:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(daemon: OwnDaemon) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and daemon.process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{daemon.url}/readyz"):
            return
        time.sleep(0.05)
    raise NotStartedError((daemon.base / "daemon.log").read_text(errors="replace"))
