"""A listener that is cut off again and again knows in the end what one knows that never was."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hypersdkd.client.address import parse_address
from hypersdkd.client.http import Daemon
from hypersdkd.model.problem import ProblemError
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import manifest

JOBS = 200
CUTS = 20


class Watcher(threading.Thread):
    """Keeps the state of each job by live events alone; ``cuts`` times it hangs up and comes back."""

    def __init__(self, daemon: DaemonProcess, cuts: int) -> None:
        super().__init__(daemon=True)
        self._daemon = Daemon(parse_address(f"unix:{daemon.socket}"), timeout=60)
        self._cuts = cuts
        self.hung_up = 0
        self.resets = 0
        self.states: dict[str, str] = {}
        self.ready = threading.Event()

    def run(self) -> None:
        last_id = ""
        while not self._complete():
            stream = self._daemon.live_events(last_id)
            try:
                for heard, change in enumerate(stream, start=1):
                    last_id = change[0]
                    self._apply(*change[1:])
                    if self._complete() or (self.hung_up < self._cuts and heard >= 15):
                        break
                self.hung_up += 1
            except ProblemError:
                continue
            finally:
                stream.close()

    def _apply(self, kind: str, data: dict) -> None:
        if kind == "reset":
            self.resets += 1
            page = self._daemon.jobs("all", limit=1000)
            self.states = {row["id"]: row["status"] for row in page["jobs"]}
            self.ready.set()
        elif kind == "job" and data["status"] == "gone" and "date" not in data:
            self.states.pop(data["id"], None)
        elif kind == "job":
            self.states[data["id"]] = data["status"]

    def _complete(self) -> bool:
        ended = [state for state in self.states.values() if state in {"completed", "failed"}]
        return len(ended) == JOBS


@pytest.mark.system
def test_twenty_cuts_in_two_hundred_jobs_lose_nothing(tmp_path: Path) -> None:
    source = tmp_path / "disk.raw"
    source.write_bytes(bytes(1 << 16))
    with DaemonProcess(tmp_path) as daemon:
        steady, cut = Watcher(daemon, 0), Watcher(daemon, CUTS)
        for watcher in (steady, cut):
            watcher.start()
            assert watcher.ready.wait(30)
        for number in range(JOBS):
            real = number % 40 == 0
            target = source if real else "/srv/nothing.raw"
            daemon.drop(f"job-{number}.json", manifest(target, output_path=f"{number}.qcow2"))
        for watcher in (steady, cut):
            watcher.join(60)
            assert not watcher.is_alive(), "it did not learn of every end"
        expected = {f"job-{number}.json": "failed" if number % 40 else "completed" for number in range(JOBS)}
        assert steady.states == cut.states == expected
        assert cut.hung_up >= CUTS
        assert (steady.resets, cut.resets) == (1, 1), "what was missed was told, not looked up"
        daemon.stop()
