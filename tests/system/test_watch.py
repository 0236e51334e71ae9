"""``hyperctl workflow watch`` beside a real daemon: told, not asking; through a restart; ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import pytest

from tests.images import MIB, raw_disk
from tests.system.daemon_process import PATIENCE, DaemonProcess
from tests.system.jobs import manifest, run
from tests.system.test_metrics import fetch, read

pytestmark = pytest.mark.system


class Watch:
    """A running ``watch``; its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def until(self, holds: Callable[[str], bool]) -> str:
        """The first further line that holds."""
        while not holds(line := self._lines.get(timeout=PATIENCE)):
            pass
        return line

    def look(self, holds: Callable[[dict], bool] = lambda look: True) -> dict:
        """The first further look (of ``--json``) that holds."""
        return json.loads(self.until(lambda line: holds(json.loads(line))))

    def interrupt(self) -> int:
        """Ctrl-C, and the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@contextmanager
def watching(daemon: DaemonProcess, *words: str) -> Iterator[Watch]:
    code = "import sys; from hypersdkd.cli.hyperctl import main; sys.exit(main())"
    options = ["--socket", str(daemon.socket), "--interval", "0.1", *words]
    command = [sys.executable, "-c", code, "workflow", "watch", *options]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HYPERSDKD_")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Watch(process)
        finally:
            process.kill()


def is_told(daemon: DaemonProcess, watch: Watch) -> bool:
    """Whether it goes on for ten looks without asking for anything; the last changes may have to settle first."""

    def ten_looks() -> tuple[float, float]:
        before = asked(daemon)
        for _ in range(10):
            watch.look()
        return before, asked(daemon)

    return any(before == after for before, after in (ten_looks() for _ in range(5)))


def asked(daemon: DaemonProcess) -> float:
    """How often anything of the workflow was asked for, as the daemon counted it."""
    found = read(fetch(daemon))
    return sum(number for name, number in found.items() if "GET,/api/workflow/" in name)


def test_it_is_told_and_does_not_ask_and_survives_a_restart(tmp_path: Path) -> None:
    source = raw_disk(tmp_path / "disk.raw", 4 * MIB)
    with DaemonProcess(tmp_path) as daemon, watching(daemon, "--json") as watch:
        watch.look(lambda look: look["running"] is True)
        assert is_told(daemon, watch)
        run(daemon, "one.json", manifest(source))
        assert watch.look(lambda look: look["processed_today"] == 1)["active_jobs"] == 0
        assert daemon.stop() == 0
        watch.look(lambda look: look["running"] is False and look["last_error"] != "")
        daemon.start()
        watch.look(lambda look: look["running"] is True)
        run(daemon, "two.json", manifest(source))
        watch.look(lambda look: look["processed_today"] == 2)
        assert is_told(daemon, watch)
        assert watch.interrupt() == 130
        assert daemon.stop() == 0


def test_plain_lines_in_a_pipe(tmp_path: Path) -> None:
    with DaemonProcess(tmp_path) as daemon, watching(daemon) as watch:
        watch.until(lambda line: line == "Queue: 0 | Active: 0 | Done: 0 | Failed: 0")
        run(daemon, "bad.json", manifest("/srv/nothing.raw"))
        watch.until(lambda line: line == "bad.json  failed: source-missing")
        assert watch.interrupt() == 130
        assert watch.process.stderr is not None
        assert watch.process.stderr.read() == ""
        assert daemon.stop() == 0
