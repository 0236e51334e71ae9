"""Jobs for a real daemon, and what became of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inotify_simple import INotify, flags

from tests.records import read_record
from tests.system.daemon_process import DaemonProcess, until

_SIDECARS = (".report.json", ".meta.json", ".error.json")


@dataclass(frozen=True)
class Outcome:
    """An ended job: ``processed`` or ``failed``, its file and what its record says."""

    kind: str
    file: Path
    record: dict

    @property
    def code(self) -> str:
        """The problem's code; empty for a completed job."""
        return str(self.record.get("code", ""))

    def assert_failed(self, code: str, *words: str) -> None:
        """It failed for that reason, its message has the ``words``, and it says what to do."""
        assert (self.kind, self.record["status"], self.code) == ("failed", "failed", code), self.record
        assert self.record["remedy"].strip()
        for word in words:
            assert word in self.record["error"], self.record["error"]


def manifest(source: Path | str, source_type: str = "raw", **convert: object) -> bytes:
    """A workflow manifest of one guest."""
    return json.dumps({"version": "1.0", "pipeline": pipeline(source, source_type, **convert)}).encode()


def pipeline(source: Path | str, source_type: str = "raw", **convert: object) -> dict:
    """The stages of a guest."""
    load = {"source_type": source_type, "source_path": str(source)}
    return {"load": load, "convert": {"output_format": "qcow2", **convert}}


def batch(**guests: dict) -> bytes:
    """A manifest of many guests, by name."""
    rows = [{"name": name, "pipeline": stages} for name, stages in guests.items()]
    return json.dumps({"version": "1.0", "batch": True, "vms": rows}).encode()


def outcome(daemon: DaemonProcess, name: str) -> Outcome:
    """Wait for the end of the job whose file ends as ``name``."""
    daemon.until_ended(name)
    file = daemon.ended()[name]
    found = [Path(f"{file}{suffix}") for suffix in _SIDECARS if Path(f"{file}{suffix}").exists()]
    assert len(found) == 1, found
    return Outcome(file.parent.parent.name, file, read_record(found[0]))


def run(daemon: DaemonProcess, name: str, content: bytes) -> Outcome:
    """Drop a job and wait for its end; whatever happened, the user's file is unchanged and in one place."""
    daemon.drop(name, content)
    ended = outcome(daemon, name)
    assert ended.file.read_bytes() == content
    assert not (daemon.base / "to_be_processed" / name).exists()
    assert not (daemon.base / "processing" / name).exists()
    return ended


def entries(daemon: DaemonProcess, kind: str) -> dict[str, str]:
    """What queue inspection shows: reasons by name. ``kind`` is pending, waiting, ignored or foreign."""
    rows = daemon.api.queue()[kind]
    assert isinstance(rows, list)
    return {row["name"]: row["reason"] for row in rows}


def until_shown(daemon: DaemonProcess, kind: str, *names: str) -> dict[str, str]:
    """Wait until queue inspection shows ``names`` as ``kind``; their reasons."""
    until(lambda: set(names) <= set(entries(daemon, kind)), daemon.base)
    return entries(daemon, kind)


def row(daemon: DaemonProcess, name: str, status: str) -> dict:
    """A job as the API has it, once it has that status."""
    until(lambda: daemon.api.job(name)["status"] == status, daemon.base)
    return dict(daemon.api.job(name))


def holds(condition: Callable[[], bool], directory: Path, seconds: float) -> bool:
    """Whether ``condition`` holds all that time; looked at whenever a file of ``directory`` is moved."""
    deadline = time.monotonic() + seconds
    with INotify() as changes:
        changes.add_watch(directory, flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE)
        while condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return True
            changes.read(timeout=left * 1000)
    return False
