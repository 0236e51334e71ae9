"""A libguestfs on paper: what it would say of some disks, to provoke what cannot be made in a test's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypersdkd.model.problem import fail


@dataclass
class PaperGuestfs:
    """``blkids`` is by device; partitions are ``/dev/sdXN``. ``types`` are GPT types or MBR IDs of partitions."""

    blkids: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    disks: Sequence[str] = ("/dev/sda",)
    partitions: Sequence[str] = ()
    volumes: list[str] = field(default_factory=list)
    table: str = "msdos"
    types: Mapping[str, str | int] = field(default_factory=dict)
    code: Mapping[str, bytes] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    inside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    systems: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    unmountable: Mapping[str, str] = field(default_factory=dict)
    flag: int = 0
    mounted: list[tuple[str, str]] = field(default_factory=list)

    def list_devices(self) -> Sequence[str]:
        return self.disks

    def list_partitions(self) -> Sequence[str]:
        return self.partitions

    def list_md_devices(self) -> Sequence[str]:
        return ()

    def lvs(self) -> Sequence[str]:
        return tuple(self.volumes)

    def lvm_scan(self, activate: bool) -> None:
        assert activate

    def blkid(self, device: str) -> Mapping[str, str]:
        if device not in self.blkids:
            raise fail("guest-damaged", "libguestfs: blkid: nothing")
        return self.blkids[device]

    def blockdev_getsize64(self, _device: str) -> int:
        return 1 << 30

    def device_index(self, device: str) -> int:
        return self.disks.index(device)

    def part_to_dev(self, partition: str) -> str:
        return partition.rstrip("0123456789")

    def part_to_partnum(self, partition: str) -> int:
        return int(partition.removeprefix(self.part_to_dev(partition)))

    def part_get_parttype(self, _device: str) -> str:
        return self.table

    def part_get_gpt_type(self, device: str, number: int) -> str:
        return str(self.types.get(f"{device}{number}", ""))

    def part_get_mbr_id(self, device: str, number: int) -> int:
        return int(self.types.get(f"{device}{number}", 0x83))

    def pread_device(self, device: str, count: int, _offset: int) -> bytes:
        return self.code.get(device, b"").ljust(count, b"\0")

    def cryptsetup_open(self, device: str, key: str, mapname: str) -> None:
        if self.keys.get(device) != key:
            raise fail("guest-damaged", "libguestfs: cryptsetup_open: No key available")
        self.volumes += [f"/dev/mapper/{mapname}", *self.inside.get(device, ())]

    def inspect_os(self) -> Sequence[str]:
        return tuple(self.systems)

    def __getattr__(self, name: str) -> object:
        """``inspect_get_…``: what the system says of itself, or nothing that can be understood."""
        what = name.removeprefix("inspect_get_")
        if what == name:
            raise AttributeError(name)

        def told(root: str) -> object:
            if what not in self.systems[root]:
                raise fail("guest-damaged", f"libguestfs: {name}: unknown")
            return self.systems[root][what]

        return told

    def mount_options(self, _options: str, mountable: str, mountpoint: str) -> None:
        if mountable in self.unmountable:
            raise fail("guest-damaged", f"libguestfs: mount: {self.unmountable[mountable]}")
        self.mounted.append((mountpoint, mountable))

    def statvfs(self, _path: str) -> Mapping[str, int]:
        return {"bsize": 4096, "bavail": 1000, "flag": self.flag}
