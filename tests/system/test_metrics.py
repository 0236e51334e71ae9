"""The metrics of a real daemon that has converted, failed and cancelled, as Prometheus' own tools read them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.images import MIB, raw_disk
from tests.system.daemon_process import PATIENCE, DaemonProcess
from tests.system.daemon_process import until as files_until
from tests.system.jobs import batch, manifest, pipeline, row, run

pytestmark = pytest.mark.system

PROMTOOL = shutil.which("promtool", path=f"{Path(sys.executable).parent}:/usr/bin")

Samples = dict[str, float]


#: A plugin that is there only from a reload on.
_ACME = """
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Endpoint, Response

@hookimpl
def hypersdkd_endpoints():
    answer = lambda request, counts: Response(b"1 worker more" * counts.max_workers, "text/plain; version=0.0.4")
    return [Endpoint("/api/plugins/acme/x", "a test", answer)]
"""


def reload_with_a_plugin(daemon: DaemonProcess) -> None:
    (daemon.plugins / "acme.py").write_text(_ACME)
    os.kill(daemon.pid, signal.SIGHUP)
    files_until(lambda: '"reloaded"' in daemon.log.read_text(), daemon.root)


def fetch(daemon: DaemonProcess, path: str = "/metrics") -> str:
    address = re.findall(r"http://127\.0\.0\.1:\d+", daemon.log.read_text())[-1]
    with urllib.request.urlopen(address + path, timeout=PATIENCE) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return reply.read().decode()


def read(text: str) -> Samples:
    """Each sample by its name with its labels, as ``jobs{failed}``."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[sample.name.removeprefix("hypersdkd_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def until(daemon: DaemonProcess, holds: Callable[[Samples], bool]) -> Samples:
    """What is counted of the last event may come a moment after the job's record."""
    deadline = time.monotonic() + PATIENCE
    while not holds(found := read(fetch(daemon))):
        assert time.monotonic() < deadline, found
    return found


def test_one_converted_one_failed_one_cancelled_and_a_batch(tmp_path: Path) -> None:
    source = raw_disk(tmp_path / "disk.raw", 4 * MIB)
    with DaemonProcess(tmp_path) as daemon:
        daemon.api.pause()
        daemon.drop("cancelled.json", manifest(source))
        row(daemon, "cancelled.json", "pending")
        daemon.api.cancel_job("cancelled.json")
        row(daemon, "cancelled.json", "cancelled")
        daemon.api.resume()
        run(daemon, "fine.json", manifest(source))
        run(daemon, "bad.json", manifest("/srv/nothing.raw"))
        two = {"good": pipeline(source, output_path="good.qcow2"), "lost": pipeline("/srv/nothing.raw")}
        run(daemon, "batch.json", batch(**two))
        run(daemon, "no.json", b"{}")
        found = until(daemon, lambda found: found["jobs_finished_total{failed}"] == 3)
        assert found["jobs_finished_total{completed}"] == found["jobs_finished_total{cancelled}"] == 1
        assert [
            found[f"jobs{{{state}}}"] for state in ("pending", "processing", "completed", "failed", "cancelled")
        ] == [
            0,
            0,
            1,
            3,
            1,
        ]
        assert found["converted_bytes_total"] == 2 * 4 * MIB
        assert found["events_total{finished}"] == 2
        assert found["events_total{failed}"] == 2
        assert found["stage_duration_seconds_count{convert}"] == found["stage_duration_seconds_count{validate}"] == 2
        assert 0 < found["stage_duration_seconds_sum{convert}"] < PATIENCE
        assert found["pickup_seconds_count"] == 4, "the cancelled one was never picked up"
        assert 0 < found["pickup_seconds_sum"] < PATIENCE
        assert (found["workers{busy}"], found["workers{idle}"]) == (0, 2)
        assert found["rescans_total{start}"] >= 4
        assert found["http_requests_total{202,POST,/api/workflow/jobs/{id}/cancel}"] == 1
        assert found["plugin_errors_total{metrics}"] == 0
        if PROMTOOL is not None:
            checked = subprocess.run(
                [PROMTOOL, "check", "metrics"], input=fetch(daemon), capture_output=True, text=True, check=False
            )
            assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
        reload_with_a_plugin(daemon)
        assert read(fetch(daemon))["jobs_finished_total{failed}"] == 3, "a reload forgets nothing"
        assert fetch(daemon, "/api/plugins/acme/x") == "1 worker more" * 2
        run(daemon, "again.json", b"{}")
        until(daemon, lambda found: found["jobs_finished_total{failed}"] == 4)
        assert daemon.stop() == 0
        daemon.start()
        found = read(fetch(daemon))
        assert (found["jobs_finished_total{failed}"], found["jobs{failed}"]) == (0, 4), "told anew, not counted anew"
        assert daemon.stop() == 0


def test_no_counter_goes_back_under_many_scrapes_while_jobs_run(tmp_path: Path) -> None:
    jobs = 60
    with DaemonProcess(tmp_path) as daemon:
        done, broken = threading.Event(), []

        def scrape() -> None:
            before: Samples = {}
            while not done.is_set():
                found = read(fetch(daemon))
                counters = {
                    name: number for name, number in found.items() if re.search(r"_(total|count|bucket)\b", name)
                }
                broken.extend(name for name, number in counters.items() if number < before.get(name, 0))
                before = counters

        scrapers = [threading.Thread(target=scrape) for _ in range(3)]
        for scraper in scrapers:
            scraper.start()
        try:
            for number in range(jobs):
                daemon.drop(f"job-{number}.json", manifest("/srv/nothing.raw"))
            daemon.until_ended(*(f"job-{number}.json" for number in range(jobs)))
        finally:
            done.set()
            for scraper in scrapers:
                scraper.join()
        assert broken == []
        found = until(daemon, lambda found: found["jobs_finished_total{failed}"] == jobs)
        assert found["pickup_seconds_count"] == found["events_total{failed}"] == found["events_total{claimed}"] == jobs
        assert daemon.stop() == 0
