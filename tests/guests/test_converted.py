"""The guests after hypersdkd: each boots on virtio with its address, and its source is untouched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.plugins import Plugins
from hypersdkd.host.checksum import sha256_of
from hypersdkd.model.guest import DiskSource, Guest
from tests.engine.guests import folded
from tests.guests.build import made
from tests.guests.recipe import ADDRESS, RECIPES, Recipe

pytestmark = pytest.mark.system

#: Seconds for the whole of a conversion, emulated, on a busy machine.
LIMIT = 900.0


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_of(file.fileno(), path.name)


@pytest.mark.parametrize(
    "recipe", [each for each in RECIPES if each.name in {"bios-ext4", "uefi-lvm"}], ids=lambda each: each.name
)
def test_it_boots_on_virtio_and_answers_to_its_address(recipe: Recipe, tmp_path: Path) -> None:
    disks = made(recipe)
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
        fix={},
        validate={"boot_test": True},
    )
    WorkOrder("vm1.json", guest, (str(disks[0].parent),), (), tuple(Plugins.load().for_workers)).write(directory)
    argv = [sys.executable, "-P", "-m", "hypersdkd.worker", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    report = folded(directory).report()
    found, checks = report["guest"], report["checks"]
    assert isinstance(found, dict) and isinstance(checks, list)
    passed = {check["name"] for check in checks if check["passed"]}
    assert passed >= {"initramfs-virtio", "boot", "network"}
    assert found["boot"]["verdict"] == "login"
    assert (ADDRESS, "arp") in {(word["address"], word["how"]) for word in found["boot"]["network"]}
    assert sorted(path.name for path in output.iterdir()) == ["vm1.qcow2", "vm1.xml"]
    assert [digest(disk) for disk in disks] == before
