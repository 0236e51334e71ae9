"""A real guest that the manifest leaves to virt-v2v, in a worker that has confined itself; its source is untouched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.plugins import Plugins
from hypersdkd.model.guest import DiskSource, Guest
from tests.engine.guests import folded
from tests.guests.build import made
from tests.guests.recipe import RECIPES
from tests.guests.test_converted import digest

pytestmark = pytest.mark.system


def test_virt_v2v_changes_it_in_an_overlay(tmp_path: Path) -> None:
    disks = made(next(recipe for recipe in RECIPES if recipe.name == "bios-ext4"))
    before = [digest(disk) for disk in disks]
    directory, output = tmp_path / "guest", tmp_path / "output"
    directory.mkdir()
    output.mkdir()
    guest = Guest(
        "vm1",
        tuple(DiskSource("raw", str(disk)) for disk in disks),
        outputs=(str(output / "vm1.qcow2"),),
        output_root=str(output),
        output_name=str(output / "vm1.qcow2"),
        fix={"engine": "virt-v2v"},
        validate={"compare": True},
    )
    WorkOrder("vm1.json", guest, (str(disks[0].parent),), (), tuple(Plugins.load().for_workers)).write(directory)
    argv = [sys.executable, "-P", "-m", "hypersdkd.worker", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = folded(directory).report()
    found, checks, tools = report["guest"], report["checks"], report["tools"]
    assert isinstance(found, dict) and isinstance(checks, list) and isinstance(tools, dict)
    assert found["virt_v2v"]["version"] == tools["virt-v2v"]
    assert found["virt_v2v"]["seconds"] > 1
    assert report["changes"] == []
    assert all(check["passed"] for check in checks)
    assert sorted(path.name for path in output.iterdir()) == ["vm1.qcow2", "vm1.xml"]
    assert [digest(disk) for disk in disks] == before
