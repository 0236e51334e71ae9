"""A guest's block devices as the appliance sees them, opened where they are encrypted, and what its disk boots with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.guestfs_binding import Guestfs
from hypersdkd.model.guest_facts import BlockDevice
from hypersdkd.model.problem import ProblemError, fail, one_line

#: Devices that are looked at; each takes a quarter of a second.
_DEVICES: Final = 256

#: Encrypted devices in each other that are opened.
_LAYERS: Final = 4

#: GPT types of the EFI system partition and of GRUB's BIOS boot partition, and the MBR's ID of the former.
_ESP: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_BIOS_BOOT: Final = "21686148-6449-6E6F-744E-656564454649"
_ESP_ID: Final = 0xEF

#: Bytes of a master boot record that are code.
_BOOT_CODE: Final = 440

_UUID: Final = re.compile(r"[0-9a-fA-F-]{36}")


@dataclass(frozen=True, slots=True)
class Devices:
    """``locked`` are encrypted devices to which no key fits. ``firmware`` is ``bios`` or ``uefi`` by what the first
    disk that boots at all boots with; where it boots with both, ``bios``, as long as its boot code is there."""

    devices: tuple[BlockDevice, ...]
    locked: tuple[str, ...]
    firmware: str
    partition_table: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """The disks, and each partition's disk and number; asked for once, since a question takes a tenth of a second."""

    disks: Sequence[str]
    partitions: Mapping[str, tuple[str, int]]

    @classmethod
    def of(cls, guestfs: Guestfs) -> _Layout:
        """What the appliance has."""
        names = guestfs.list_partitions()[:_DEVICES]
        return cls(
            guestfs.list_devices(),
            {name: (guestfs.part_to_dev(name), guestfs.part_to_partnum(name)) for name in names},
        )


def block_devices(guestfs: Guestfs, keys: Sequence[str]) -> Devices:
    """All devices that hold something. Raises ``guest-damaged``, and ``image-limits`` for too many."""
    layout = _Layout.of(guestfs)
    divided = {disk for disk, _number in layout.partitions.values()}
    looked: dict[str, Mapping[str, str]] = {}
    locked: list[str] = []
    new = [*(disk for disk in layout.disks if disk not in divided), *layout.partitions]
    for _layer in range(_LAYERS):
        new += [name for name in (*guestfs.list_md_devices(), *guestfs.lvs()) if name not in looked]
        if len(looked) + len(new) > _DEVICES:
            raise fail("image-limits", f"the guest has more than {_DEVICES} partitions and volumes")
        looked |= {name: _blkid(guestfs, name) for name in new}
        new = [opened for name in new if (opened := _open(guestfs, name, looked[name], keys, locked))]
        if not new:
            break
        guestfs.lvm_scan(True)
    devices = tuple(_device(guestfs, layout, name, found) for name, found in looked.items())
    firmware, table = _boots_with(guestfs, layout)
    return Devices(devices, tuple(locked), firmware, table)


def _blkid(guestfs: Guestfs, name: str) -> Mapping[str, str]:
    try:
        return guestfs.blkid(name)
    except ProblemError as error:
        if error.problem.code != "guest-damaged":
            raise
        return {}  # nothing is in it that blkid knows


def _open(guestfs: Guestfs, name: str, found: Mapping[str, str], keys: Sequence[str], locked: list[str]) -> str | None:
    """The opened device; ``None`` where it is not encrypted or no key fits."""
    if found.get("TYPE") not in {"crypto_LUKS", "BitLocker"}:
        return None
    uuid = found.get("UUID", "")
    mapping = f"luks-{uuid if _UUID.fullmatch(uuid) else name.rpartition('/')[2]}"
    for key in keys:
        try:
            guestfs.cryptsetup_open(name, key, mapping)
        except ProblemError as error:
            if error.problem.code != "guest-damaged":
                raise
            continue
        return f"/dev/mapper/{mapping}"
    locked.append(name)
    return None


def _device(guestfs: Guestfs, layout: _Layout, name: str, found: Mapping[str, str]) -> BlockDevice:
    disk, number = layout.partitions.get(name, (name, 0))
    return BlockDevice(
        device=name,
        content=found.get("TYPE", "unknown"),
        size=guestfs.blockdev_getsize64(name),
        uuid=one_line(found.get("UUID", "")),
        part_uuid=one_line(found.get("PART_ENTRY_UUID", "")),
        label=one_line(found.get("LABEL", "")),
        disk=guestfs.device_index(disk) if disk in layout.disks else None,
        partition=number,
    )


def _boots_with(guestfs: Guestfs, layout: _Layout) -> tuple[str, str]:
    """Firmware and partition table of the first disk that has either kind of boot loader."""
    tables: list[str] = []
    for disk in layout.disks:
        numbers = [number for own, number in layout.partitions.values() if own == disk]
        table = guestfs.part_get_parttype(disk) if numbers else ""
        kinds = [_kind(guestfs, disk, number, table) for number in numbers]
        if any(guestfs.pread_device(disk, _BOOT_CODE, 0)) and (table != "gpt" or "bios" in kinds):
            return "bios", table
        if "esp" in kinds:
            return "uefi", table
        tables += [table] if table else []
    return "bios", tables[0] if tables else ""


def _kind(guestfs: Guestfs, disk: str, number: int, table: str) -> str:
    if table == "gpt":
        return {_ESP: "esp", _BIOS_BOOT: "bios"}.get(guestfs.part_get_gpt_type(disk, number).upper(), "")
    return "esp" if table == "msdos" and guestfs.part_get_mbr_id(disk, number) == _ESP_ID else ""
