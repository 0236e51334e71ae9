"""Many clients at once, each asking for something else: no request fails inside, no job is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter

import pytest

from hypersdkd.client.http import DaemonRefusedError
from tests.images import MIB, raw_disk
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import manifest

#: What a client is told when another one was faster. A job that was submitted is never unknown.
FAIR = {(409, "job-state")}


class Clients:
    """What all clients know together."""

    def __init__(self, daemon: DaemonProcess, sources: list[str]) -> None:
        self._daemon = daemon
        self._sources = sources
        self.jobs: list[str] = []
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.broken: list[str] = []

    def ask(self, seed: int, requests: int) -> None:
        """Do ``requests`` things at random."""
        chance = random.Random(seed)
        api = self._daemon.api
        self._submit(chance)
        for _ in range(requests):
            job = chance.choice(self.jobs)
            about_jobs = (api.job, api.cancel_job, api.cancel_job, api.retry_job, api.job_report, api.job_log)
            others = (api.status, api.queue, api.jobs, api.pause, api.resume, api.resume)
            kind = chance.randrange(10)
            try:
                if kind < 3:
                    self._submit(chance)
                elif kind < 7:
                    chance.choice(about_jobs)(job)
                else:
                    chance.choice(others)()
            except DaemonRefusedError as error:
                self.refusals[error.status, error.problem.code] += 1
            except Exception as error:
                self.broken.append(repr(error))

    def _submit(self, chance: random.Random) -> None:
        output = f"{chance.randrange(1 << 60)}.qcow2"
        text = json.loads(manifest(chance.choice(self._sources), output_path=output)) | {"name": chance.choice("abc")}
        self.jobs.append(str(self._daemon.api.submit_manifest(json.dumps(text).encode())["job_id"]))


def idle(daemon: DaemonProcess) -> bool:
    """Whether nothing is left to do."""
    status = daemon.api.status()
    return status["active_jobs"] == status["queue_depth"] == 0


@pytest.mark.system
def test_every_job_ends_in_one_place_with_one_record(tmp_path):
    sources = [str(raw_disk(tmp_path / "disk.raw", 4 * MIB)), *["/srv/nothing.raw"] * 3]
    with DaemonProcess(tmp_path) as daemon:
        clients = Clients(daemon, sources)
        threads = [threading.Thread(target=clients.ask, args=(seed, 60)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        daemon.api.resume()
        until(lambda: idle(daemon), daemon.base / "processing")
        assert clients.broken == []
        assert set(clients.refusals) <= FAIR
        files = [path.name for path in daemon.base.glob("*/????-??-??/*")]
        records = {name.removesuffix(".report.json").removesuffix(".error.json") for name in files} & set(clients.jobs)
        assert sorted(daemon.ended()) == sorted(clients.jobs) == sorted(records)
        assert len(files) == 2 * len(clients.jobs)
        listed = daemon.api.jobs(limit=10_000)["jobs"]
        assert sorted(job["id"] for job in listed) == sorted(clients.jobs)
        counts = daemon.api.status()
        assert sum(counts[f"{end}_today"] for end in ("processed", "failed", "cancelled")) == len(clients.jobs)
        assert daemon.worker_pids() == os.listdir(daemon.base / "processing") == []
        assert daemon.stop() == 0
        assert not any('"level": "error"' in line for line in daemon.logged())
