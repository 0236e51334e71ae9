"""How an appliance ends that is missing, too slow or gone. ``test_appliance_guest`` has one that works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hypersdkd.host import appliance as module
from hypersdkd.host.appliance import Appliance, drive_label, prepare
from hypersdkd.host.appliance_cache import ApplianceFiles
from tests.guests.tiny import tiny_guest
from tests.images import qemu_img
from tests.problems import raises_problem


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    disk = tiny_guest(tmp_path / "disk.raw")
    qemu_img("create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", tmp_path / "overlay.qcow2")
    return tmp_path / "overlay.qcow2"


@pytest.fixture
def files() -> ApplianceFiles:
    return prepare(Path(os.environ["LIBGUESTFS_CACHEDIR"], "hypersdkd-appliance"))


def test_a_launch_that_takes_too_long_ends(
    overlay: Path, files: ApplianceFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAUNCH_SECONDS", 0.5)
    with raises_problem("appliance-timeout", r"launch did not end within 0\.5 s"):
        Appliance.launch([overlay], tmp_path, files)


def test_a_launch_that_cannot_work_says_why(overlay: Path, tmp_path: Path, files: ApplianceFiles) -> None:
    (tmp_path / "empty").mkdir()
    with raises_problem("appliance-failed", "libguestfs: launch"):
        Appliance.launch([overlay], tmp_path, ApplianceFiles(tmp_path / "empty", files.kvm_obstacle))
    with raises_problem("appliance-failed", "add_drive"):
        Appliance.launch([tmp_path / "nothing"], tmp_path, files)


def test_without_the_binding_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "guestfs", None)
    with raises_problem("appliance-missing") as caught:
        prepare(tmp_path)
    assert "apt install python3-guestfs" in caught[0].remedy


class Dead:
    """A handle whose appliance has gone."""

    def list_devices(self) -> None:
        raise RuntimeError("list_devices: appliance closed the connection unexpectedly.\nThis usually means …")

    def lvs(self) -> None:
        raise RuntimeError("vgs: lvm: some output\nmore")

    def realpath(self, path: str) -> None:
        path.encode("ascii")

    def umount_all(self) -> None:
        raise RuntimeError("umount_all: device is busy")

    def close(self) -> None:
        raise RuntimeError("killed")


def test_what_a_call_says_becomes_a_problem() -> None:
    dead = Appliance(Dead(), "1.48", "")
    with raises_problem("appliance-failed", "the appliance died: libguestfs: list_devices: appliance closed"):
        dead.guestfs.list_devices()
    with raises_problem("guest-damaged", "libguestfs: lvs: vgs: lvm: some output$") as caught:
        dead.guestfs.lvs()
    assert caught[0].detail.endswith("more")
    with raises_problem("guest-damaged"):
        dead.guestfs.realpath("/\udcff")
    with raises_problem("appliance-failed", "did not end well"):
        dead.shut_down()
    dead.close()


def test_labels_are_letters_and_each_its_own() -> None:
    labels = [drive_label(number) for number in range(256)]
    assert len(set(labels)) == 256
    assert all(label.isalpha() for label in labels)
    assert (labels[0], labels[27]) == ("diskaa", "diskbb")
