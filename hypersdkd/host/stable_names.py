"""Which device a name in a guest's configuration means, and under which name any hardware has the same device.

``/dev/sda1`` is the first partition of the first disk because VMware attaches disks by SCSI; on virtio it is
``/dev/vda1``. A UUID lies in the file system, a PARTUUID in the partition table: both stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hypersdkd.model.guest_facts import BlockDevice

#: The kernel's names that depend on the bus: SCSI and SATA, IDE, virtio, Xen; NVMe numbers its disks otherwise.
_BY_LETTER: Final = re.compile(r"/dev/(?:sd|hd|vd|xvd)([a-z]{1,2})([1-9][0-9]{0,2})?")
_NVME: Final = re.compile(r"/dev/nvme([0-9]{1,3})n([1-9][0-9]{0,2})(?:p([1-9][0-9]{0,2}))?")

#: udev's names by bus and by serial number. Those of device mapper and md tell what lies in the volume, and stay.
_BY_HARDWARE: Final = re.compile(r"/dev/disk/by-(?:path/|id/(?!dm-|md-|lvm-))[^\s/]+?(?:-part([1-9][0-9]{0,2}))?")
BY_PATH: Final = "/dev/disk/by-path/"

#: What blkid prints as UUID of any file system; it comes from the guest's disk and goes into its configuration.
_UUID: Final = re.compile(r"[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*")

#: File systems that one driver mounts under either name.
_SAME: Final = {"ext2": "ext", "ext3": "ext", "ext4": "ext", "msdos": "vfat", "ntfs3": "ntfs", "ntfs-3g": "ntfs"}

#: fstab's types that say nothing of what lies on the device.
_ANY: Final = frozenset({"", "auto", "none", "bind"})


def is_fleeting(name: str) -> bool:
    """Whether other hardware would give the device another name."""
    return any(pattern.fullmatch(name) for pattern in (_BY_LETTER, _NVME, _BY_HARDWARE))


@dataclass(frozen=True, slots=True)
class StableNames:
    """The names of a guest's devices, by its disks in boot order."""

    devices: Sequence[BlockDevice]

    def device(self, name: str, content: str = "") -> BlockDevice | None:
        """The device that a fleeting name means; ``None`` where it is not known for certain.

        ``content`` is what should lie on it, as fstab says it (``ext4``, ``udf,iso9660``, empty: anything). A device
        that holds something else is not the one that was meant. By path or serial number it is found if
        there is one disk, or if one device alone has that partition number and that content.
        """
        place = _place(name)
        if place is not None:
            found = [device for device in self._plain() if (device.disk, device.partition) == place]
        elif (match := _BY_HARDWARE.fullmatch(name)) is not None:
            found = [device for device in self._plain() if device.partition == int(match.group(1) or 0)]
        else:
            return None
        found = [device for device in found if _holds(device, content)]
        return found[0] if len({(device.disk, device.partition) for device in found}) == 1 else None

    def spec(self, device: BlockDevice, *, partition: bool = False) -> str:
        """``UUID=…``, ``PARTUUID=…`` where it has none or shares it; empty where it has neither.

        With ``partition`` only the partition's: for content that is made anew at each start, and for a kernel that
        finds its root without an initramfs.
        """
        if not partition and self._own(device, "uuid"):
            return f"UUID={device.uuid}"
        return f"PARTUUID={device.part_uuid}" if self._own(device, "part_uuid") else ""

    def link(self, device: BlockDevice) -> str:
        """A path that stays, where neither UUID= nor PARTUUID= is understood; empty where there is none."""
        if self._own(device, "part_uuid"):
            return f"/dev/disk/by-partuuid/{device.part_uuid}"
        return f"/dev/disk/by-uuid/{device.uuid}" if self._own(device, "uuid") else ""

    def stable(self, name: str, content: str = "", *, partition: bool = False) -> str:
        """The stable name of what a fleeting name means; empty where it is not known or has none."""
        device = self.device(name, content)
        return self.spec(device, partition=partition) if device else ""

    def _plain(self) -> list[BlockDevice]:
        """Disks and partitions; a volume or subvolume that lies on one is not meant by the one's name."""
        return [
            device
            for device in self.devices
            if device.disk is not None and device.device.startswith("/dev/") and device.device.count("/") == 2
        ]

    def _own(self, device: BlockDevice, key: str) -> bool:
        """Whether it has such an id, and no other disk or partition the same; btrfs has one for all its devices."""
        value = getattr(device, key)
        if not _UUID.fullmatch(value):
            return False
        same = {(each.disk, each.partition) for each in self._plain() if getattr(each, key) == value}
        return len(same) <= 1 or (key == "uuid" and device.content == "btrfs")


def _place(name: str) -> tuple[int, int] | None:
    """Disk and partition; partition 0 is the whole disk."""
    if match := _BY_LETTER.fullmatch(name):
        number = 0
        for letter in match.group(1):
            number = number * 26 + ord(letter) - ord("a") + 1
        return number - 1, int(match.group(2) or 0)
    if match := _NVME.fullmatch(name):
        controller, namespace = int(match.group(1)), int(match.group(2)) - 1
        # VMware puts disks as namespaces on one controller, or one disk on each; with both the order is not known.
        return None if controller and namespace else (controller + namespace, int(match.group(3) or 0))
    return None


def _holds(device: BlockDevice, content: str) -> bool:
    """Whether the device may hold what is expected. What blkid does not know may be anything."""
    kinds = {_SAME.get(kind, kind) for kind in content.split(",")}
    return bool(kinds & _ANY) or device.content in {"", "unknown"} or _SAME.get(device.content, device.content) in kinds
