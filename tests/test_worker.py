"""The worker as a process: its exit status, its lock, and that it never begins what has ended."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import LOCK, STAMP, WorkOrder
from hypersdkd.engine.journal import JournalWriter
from hypersdkd.engine.plugins import Plugins
from hypersdkd.host.files import try_lock
from hypersdkd.host.sessions import read_stamp
from hypersdkd.model.event import EventType
from hypersdkd.model.guest import DiskSource, Guest
from tests import appliances, vmdks
from tests.engine.guests import folded, types
from tests.images import make


def run_worker(*arguments: Path | str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-P", "-m", "hypersdkd.worker", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def guest(tmp_path: Path, source: Path, source_type: str = "raw") -> Path:
    directory = tmp_path / "guest"
    directory.mkdir()
    made = Guest(
        "web01",
        (DiskSource(source_type, str(source)),),
        outputs=(str(tmp_path / "out" / "web01.qcow2"),),
        output_root=str(tmp_path),
    )
    plugins = tuple(Plugins.load().for_workers)
    WorkOrder("web01.json", made, (str(tmp_path),), (), plugins).write(directory)
    return directory


def test_a_disk_is_converted(tmp_path: Path) -> None:
    directory = guest(tmp_path, make(tmp_path / "disk.raw", size=2 << 20))
    done = run_worker(directory)
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "out") == ["web01.qcow2"]
    assert types(directory)[0] == "started"
    assert types(directory)[-1] == "finished"
    stamp = read_stamp(directory / STAMP)
    assert stamp is not None
    assert not stamp.alive()
    again = run_worker(directory)
    assert again.returncode == 0
    assert types(directory).count("started") == 1, "it has ended: a second worker finds nothing to do"


STEP = """
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Step


class Plugin:
    def __init__(self, settings):
        self.word = settings.get("word", "none")

    @hookimpl
    def hypersdkd_steps(self):
        return [Step("acme", Stage.VALIDATE, lambda context: context.finding("acme", self.word), 900)]
"""


def test_a_step_has_the_settings_of_its_plugin(tmp_path: Path) -> None:
    directory = guest(tmp_path, make(tmp_path / "disk.raw", size=2 << 20))
    places = tmp_path / "plugins.d"
    places.mkdir(mode=0o755)
    (places / "acme.py").write_text(STEP)
    (places / "acme.py").chmod(0o644)
    order = WorkOrder.read(directory)
    names = (*order.plugins, "acme")
    given = {"acme": {"word": "said"}}
    replace(order, plugin_directories=(str(places),), plugins=names, plugin_settings=given).write(directory)
    tmp_path.chmod(0o755)
    assert run_worker(directory).returncode == 0
    assert folded(directory).report()["guest"]["acme"] == "said"  # type: ignore[index]


def test_a_disk_of_more_files_than_may_be_open_at_first(tmp_path: Path) -> None:
    lines = [f'RW 1 FLAT "x-f{index:03}.vmdk" 0' for index in range(300)]
    for index in range(300):
        (tmp_path / f"x-f{index:03}.vmdk").write_bytes(bytes([index % 251]) * 512)
    (tmp_path / "disk.vmdk").write_bytes(vmdks.text("twoGbMaxExtentFlat", *lines))
    directory = guest(tmp_path, tmp_path / "disk.vmdk", "vmdk")
    done = run_worker(directory, before=["prlimit", "--nofile=128:4096"])
    assert done.returncode == 0, done.stderr


def test_a_guest_that_fails(tmp_path: Path) -> None:
    directory = guest(tmp_path, tmp_path / "missing.raw")
    done = run_worker(directory)
    assert done.returncode == 1
    state = folded(directory)
    assert state.problem is not None
    assert state.problem.code == "source-missing"
    assert "source-missing" in done.stderr
    assert not (tmp_path / "out" / "web01.qcow2").exists()


@pytest.mark.parametrize("promised", [None, "0" * 40], ids=["right", "wrong"])
def test_a_long_appliance_is_verified_before_its_disk_is_published(tmp_path: Path, promised: str | None) -> None:
    disk = make(tmp_path / "disk1.qcow2", "preallocation=full", size=40 << 20).read_bytes()
    text = appliances.ovf([{"file": "disk1.qcow2", "capacity": 40, "format": appliances.QCOW2}])
    lines = f"SHA1(disk1.qcow2)= {promised or hashlib.sha1(disk).hexdigest()}\n".encode()
    members = {"web01.ovf": text, "web01.mf": lines, "disk1.qcow2": disk}
    directory = guest(tmp_path, appliances.ova(tmp_path / "web01.ova", members), "ova")
    done = run_worker(directory)
    state = folded(directory)
    checks = [(check["name"], check["passed"]) for check in state.report()["checks"]]
    assert ("source-checksum", promised is None) in checks
    if promised is None:
        assert (done.returncode, sorted(os.listdir(tmp_path / "out"))) == (0, ["web01.qcow2", "web01.xml"])
        return
    assert done.returncode == 1
    assert state.problem is not None
    assert (state.problem.code, os.listdir(tmp_path / "out")) == ("source-checksum", [])
    stages, checks = state.report()["stages"], state.report()["checks"]
    assert {name: stage["status"] for name, stage in stages.items() if stage["status"] != "skipped"} == {  # type: ignore[attr-defined]
        "load": "failed",
        "convert": "completed",
        "validate": "completed",
    }
    assert {check["stage"] for check in checks if check["name"] == "source-checksum"} == {"load"}  # type: ignore[attr-defined]


def test_a_guest_that_another_worker_holds(tmp_path: Path) -> None:
    directory = guest(tmp_path, tmp_path / "missing.raw")
    lock = try_lock(directory / LOCK)
    assert lock is not None
    done = run_worker(directory)
    os.close(lock)
    assert (done.returncode, "another worker holds" in done.stderr) == (75, True)
    assert types(directory) == []


def test_an_order_that_cannot_be_read_is_a_crash(tmp_path: Path) -> None:
    directory = guest(tmp_path, tmp_path / "missing.raw")
    with JournalWriter(directory, "web01") as journal:
        journal.append(EventType.CLAIMED)
    (directory / "guest.json").write_text("{")
    done = run_worker(directory)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert types(directory) == ["claimed"], "the daemon counts it"


def test_its_usage() -> None:
    done = run_worker()
    assert (done.returncode, done.stderr) == (2, "usage: python -m hypersdkd.worker GUEST_DIR\n")
