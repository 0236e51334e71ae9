"""Names of devices that stay."""

from __future__ import annotations

import pytest

from hypersdkd.host.stable_names import StableNames, is_fleeting
from hypersdkd.model.guest_facts import BlockDevice

ROOT = BlockDevice("/dev/sda1", "ext4", 1 << 30, uuid="aaaa-1", part_uuid="deadbeef-01", disk=0, partition=1)
SWAP = BlockDevice("/dev/sda5", "swap", 1 << 28, uuid="aaaa-5", part_uuid="deadbeef-05", disk=0, partition=5)
BARE = BlockDevice("/dev/sda6", "unknown", 1 << 28, part_uuid="deadbeef-06", disk=0, partition=6)
DATA = BlockDevice("/dev/sdb1", "xfs", 1 << 30, uuid="bbbb-1", part_uuid="cafe0000-01", disk=1, partition=1)
WHOLE = BlockDevice("/dev/sdc", "ext4", 1 << 30, uuid="cccc", disk=2, partition=0)
VOLUME = BlockDevice("/dev/vg0/root", "ext4", 1 << 30, uuid="dddd", disk=0, partition=0)

NAMES = StableNames((ROOT, SWAP, BARE, DATA, WHOLE, VOLUME))
ONE_DISK = StableNames((ROOT, SWAP))


@pytest.mark.parametrize(
    ("name", "content", "stable"),
    [
        ("/dev/sda1", "ext4", "UUID=aaaa-1"),
        ("/dev/sda1", "auto", "UUID=aaaa-1"),
        ("/dev/sda1", "ext3", "UUID=aaaa-1"),  # mounted by the same driver
        ("/dev/sda1", "xfs", ""),  # something else lies there: it was not meant
        ("/dev/hda1", "", "UUID=aaaa-1"),
        ("/dev/vda1", "", "UUID=aaaa-1"),
        ("/dev/xvda1", "", "UUID=aaaa-1"),
        ("/dev/nvme0n1p1", "", "UUID=aaaa-1"),
        ("/dev/nvme0n2p1", "", "UUID=bbbb-1"),
        ("/dev/nvme1n1p1", "", "UUID=bbbb-1"),
        ("/dev/nvme1n2p1", "", ""),
        ("/dev/sda5", "swap", "UUID=aaaa-5"),
        ("/dev/sda6", "", "PARTUUID=deadbeef-06"),
        ("/dev/sdb1", "xfs", "UUID=bbbb-1"),
        ("/dev/sdc", "", "UUID=cccc"),
        ("/dev/sda", "", ""),  # not the volume that lies on it
        ("/dev/sdd1", "", ""),
        ("/dev/sdaa1", "", ""),
        ("/dev/sda2", "", ""),
        ("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1", "xfs", "UUID=bbbb-1"),
        ("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1", "", ""),  # on each of two disks
        ("/dev/disk/by-id/scsi-36000c29abc-part5", "swap", "UUID=aaaa-5"),
        ("/dev/mapper/vg0-root", "", ""),
        ("/dev/sr0", "", ""),
    ],
)
def test_a_name_means_a_disk_by_its_order(name: str, content: str, stable: str) -> None:
    assert NAMES.stable(name, content) == stable


def test_by_path_is_certain_where_there_is_one_disk() -> None:
    assert ONE_DISK.stable("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1") == "UUID=aaaa-1"


@pytest.mark.parametrize(
    ("name", "fleeting"),
    [
        ("/dev/sda1", True),
        ("/dev/disk/by-path/pci-0000:03:00.0-part1", True),
        ("/dev/disk/by-id/ata-VMware_Virtual_SATA_0-part1", True),
        ("/dev/disk/by-id/dm-uuid-LVM-x", False),
        ("/dev/disk/by-id/md-uuid-x", False),
        ("/dev/disk/by-uuid/aaaa-1", False),
        ("/dev/disk/by-label/ROOT", False),
        ("/dev/mapper/vg0-root", False),
        ("/dev/vg0/root", False),
        ("/dev/md0", False),
        ("/dev/sr0", False),
        ("/dev/fd0", False),
        ("UUID=aaaa-1", False),
        ("LABEL=/dev/sda1", False),
        ("/dev/sda1/../sdb1", False),
    ],
)
def test_only_names_by_the_bus_are_fleeting(name: str, fleeting: bool) -> None:
    assert is_fleeting(name) is fleeting


def test_a_uuid_that_two_partitions_share_names_neither() -> None:
    twin = BlockDevice("/dev/sdb1", "ext4", 1, uuid=ROOT.uuid, part_uuid="cafe0000-01", disk=1, partition=1)
    assert StableNames((ROOT, twin)).stable("/dev/sda1") == "PARTUUID=deadbeef-01"
    same = BlockDevice("/dev/sdb1", "ext4", 1, uuid=ROOT.uuid, part_uuid=ROOT.part_uuid, disk=1, partition=1)
    assert StableNames((ROOT, same)).stable("/dev/sda1") == ""


def test_a_btrfs_has_one_uuid_for_all_its_devices_and_subvolumes() -> None:
    parts = [BlockDevice(f"/dev/sd{x}1", "btrfs", 1, uuid="e-1", disk=n, partition=1) for n, x in enumerate("ab")]
    subvolume = BlockDevice("btrfsvol:/dev/sda1/@", "btrfs", 1, uuid="e-1", disk=0, partition=1)
    assert StableNames((*parts, subvolume)).stable("/dev/sdb1", "btrfs") == "UUID=e-1"


@pytest.mark.parametrize("uuid", ["", "a b", 'x"; reboot', "a\nb", "../x"])
def test_a_strange_uuid_is_not_written_anywhere(uuid: str) -> None:
    device = BlockDevice("/dev/sda1", "ext4", 1, uuid=uuid, part_uuid="ok-01", disk=0, partition=1)
    assert StableNames((device,)).stable("/dev/sda1") == "PARTUUID=ok-01"


def test_a_path_that_stays() -> None:
    assert NAMES.link(ROOT) == "/dev/disk/by-partuuid/deadbeef-01"
    assert NAMES.link(WHOLE) == "/dev/disk/by-uuid/cccc"
