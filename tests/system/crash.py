"""A storm: many jobs, and a daemon that is killed at random moments. What must come out is exact."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.daemon_process import DaemonProcess, until

#: Bytes of each source; small, so that the storm tests the queue and not the disk.
SOURCE_BYTES = 1 << 20


@dataclass
class Outcome:
    """What a storm left behind."""

    jobs: int
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every job ended once, in its right output, with nothing left over."""
        return not (self.lost or self.wrong or self.twice or self.half or self.failed)


def _names(count: int) -> list[str]:
    return [f"job-{number:04d}.json" for number in range(count)]


def _prepare(root: Path, names: list[str], chance: random.Random) -> dict[str, str]:
    """A source for each job, each with its own content; digests by job."""
    digests = {}
    for name in names:
        content = chance.randbytes(SOURCE_BYTES // 4) + bytes(SOURCE_BYTES - SOURCE_BYTES // 4)
        (root / f"{name}.raw").write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def _manifest(root: Path, name: str) -> bytes:
    load = {"source_type": "raw", "source_path": str(root / f"{name}.raw")}
    return json.dumps({"version": "1.0", "pipeline": {"load": load, "convert": {"output_format": "raw"}}}).encode()


def _kill(daemon: DaemonProcess, how: str) -> None:
    daemon.kill(group=how != "daemon")
    if how == "everything":
        daemon.kill_workers()


def storm(
    root: Path, manifests: int, kills: int, seed: int = 1, say: Callable[[str], None] = lambda _text: None
) -> Outcome:
    """Drop ``manifests`` jobs and kill the daemon ``kills`` times on the way.

    A kill takes the daemon alone (its workers go on), its process group, or all of its processes, in turn.
    Between two kills a share of the jobs must end, so that the kills spread over the whole of the work.
    """
    chance = random.Random(seed)
    names = _names(manifests)
    digests = _prepare(root, names, chance)
    outcome = Outcome(manifests)
    began = time.monotonic()
    daemon = DaemonProcess(root, workers=2, max_attempts=2)
    daemon.start()
    try:
        for name in names:
            daemon.drop(name, _manifest(root, name))
        for number in range(kills):
            share = manifests * number // kills
            until(lambda share=share: len(daemon.ended()) >= share, daemon.base, patience=300)
            time.sleep(chance.random() * 0.4)  # the random moment itself, not a wait for something
            how = ("daemon", "group", "everything")[number % 3]
            _kill(daemon, how)
            outcome.kills[how] += 1
            say(f"kill {number + 1} ({how}): {len(daemon.ended())} of {manifests} ended")
            daemon.start()
        until(lambda: len(daemon.ended()) >= manifests, daemon.base, patience=60 + manifests)
        daemon.stop()
    finally:
        daemon.__exit__(None, None, None)
    outcome.seconds = time.monotonic() - began
    _judge(daemon.base, names, digests, outcome)
    return outcome


def _judge(base: Path, names: list[str], digests: dict[str, str], outcome: Outcome) -> None:
    files = Counter(path.name for path in base.glob("*/????-??-??/*"))
    for name in names:
        output = base / "output" / f"{Path(name).stem}.raw"
        if files[name] != 1 or files[f"{name}.report.json"] != 1:
            (outcome.failed if files[f"{name}.error.json"] else outcome.lost).append(name)
        elif not output.exists() or hashlib.sha256(output.read_bytes()).hexdigest() != digests[name]:
            outcome.wrong.append(name)
        if _completions(base, name) > 1:
            outcome.twice.append(name)
    expected = {f"{Path(name).stem}.raw" for name in names}
    outcome.half += sorted(set(os.listdir(base / "output")) - expected)
    outcome.half += sorted(os.listdir(base / "processing")) + sorted(os.listdir(base / "to_be_processed"))
    outcome.half += sorted(os.listdir(base / ".hypersdkd" / "tmp"))


def _completions(base: Path, name: str) -> int:
    journals = (base / ".hypersdkd" / "jobs" / name).glob("*/journal.jsonl")
    return sum(
        json.loads(line).get("type") == "finished" for path in journals for line in path.read_text().splitlines()
    )
