"""The command line of a throw-away machine: what it is told, and what it refuses to tell QEMU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hypersdkd.host.virtual_machine import Firmware, Machine, MachineDisk, Records, arguments, uefi_firmware
from tests.problems import raises_problem

RECORDS = Records(traffic=7, console=3, bios=4)
DISKS = [MachineDisk(10, "raw", 11), MachineDisk(12, "qcow2", 13)]


def test_images_are_read_only_and_lead_nowhere_else() -> None:
    argv = arguments(Machine(DISKS), RECORDS, 5, 6)
    nodes = [json.loads(argv[place + 1]) for place, word in enumerate(argv) if word == "-blockdev"]
    for node, disk in zip(nodes, DISKS, strict=True):
        assert node["file"] == {"driver": "file", "filename": f"/proc/self/fd/{disk.overlay}"}
        assert node["backing"]["read-only"] is True
        assert node["backing"]["file"]["filename"] == f"/proc/self/fd/{disk.image}"
    assert "backing" not in nodes[0]["backing"] and nodes[1]["backing"]["backing"] is None
    devices = [word for word in argv if "bootindex" in word]
    assert devices == ["virtio-blk-pci,drive=disk0,bootindex=0", "virtio-blk-pci,drive=disk1,bootindex=1"]


def test_every_network_is_restricted() -> None:
    argv = arguments(Machine(DISKS, macs=["00:50:56:aa:bb:01", "00:50:56:aa:bb:02"]), RECORDS, 5, 6)
    users = [word for word in argv if word.startswith("user,")]
    assert users == ["user,id=user0,restrict=on", "user,id=net1,restrict=on"]
    assert [word for word in argv if word.startswith("filter-dump")] == [
        "filter-dump,id=traffic,netdev=net0,file=/proc/self/fd/7,maxlen=600"
    ]


@pytest.mark.parametrize("mac", ["", "x", "00:50:56:aa:bb:01,romfile=/etc/passwd", "00:50:56:aa:bb:01\n"])
def test_what_is_no_mac_is_refused(mac: str) -> None:
    with raises_problem("image-invalid"):
        arguments(Machine(DISKS, macs=[mac]), RECORDS, 5, 6)


def test_vmwares_own_hardware() -> None:
    line = " ".join(arguments(Machine(DISKS, disk_bus="pvscsi", network_card="vmxnet3", slot=192), RECORDS, 5, 6))
    assert "pvscsi,id=scsi" in line and "scsi-hd,bus=scsi.0,drive=disk1,bootindex=1" in line
    assert "slot=192" in line and "vmxnet3,netdev=net0" in line and "bus=card-port" in line


def test_uefi_gets_its_firmware_and_its_own_variables() -> None:
    line = " ".join(arguments(Machine(DISKS, firmware=Path("/usr/share/OVMF/CODE.fd"), variables=9), RECORDS, 5, 6))
    assert "readonly=on,file=/usr/share/OVMF/CODE.fd" in line and "unit=1,format=raw,file=/proc/self/fd/9" in line


def described(features: list[str], machine: str = "pc-q35-*", name: str = "CODE.fd") -> str:
    flash = {
        "device": "flash",
        "executable": {"filename": f"/fw/{name}", "format": "raw"},
        "nvram-template": {"filename": "/fw/VARS.fd", "format": "raw"},
    }
    targets = [{"architecture": "x86_64", "machines": [machine]}]
    return json.dumps({"interface-types": ["uefi"], "mapping": flash, "targets": targets, "features": features})


def test_the_first_firmware_without_secure_boot_is_taken(tmp_path: Path) -> None:
    (tmp_path / "10-broken.json").write_text("{")
    (tmp_path / "20-secure.json").write_text(described(["secure-boot"]))
    (tmp_path / "30-other.json").write_text(described([], "pc-i440fx-*"))
    (tmp_path / "40-strange.json").write_text('{"interface-types": ["uefi"], "mapping": {"device": "memory"}}')
    (tmp_path / "60-plain.json").write_text(described(["acpi-s3"]))
    (tmp_path / "70-later.json").write_text(described([], name="LATER.fd"))
    assert uefi_firmware([tmp_path]) == Firmware(Path("/fw/CODE.fd"), Path("/fw/VARS.fd"))
    with raises_problem("tool-missing"):
        uefi_firmware([tmp_path / "none"])


def test_this_hosts_firmware_is_there() -> None:
    found = uefi_firmware()
    assert found.code.is_file() and found.variables.is_file()
