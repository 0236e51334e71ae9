"""What INSPECT finds out about a guest's system: plain data, for fixers, checks and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from hypersdkd.model.problem import one_line

#: Bytes that are read of a guest's file unless another limit is given: no configuration file is larger.
READ_LIMIT: Final = 1 << 20


def _plain(value: object) -> object:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, Mapping):
        return {one_line(str(key)): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """A partition, logical volume, subvolume or whole disk of the guest that holds something.

    ``device`` is its name inside the appliance (``/dev/sda1``, ``/dev/vg0/root``), which need not be the guest's.
    ``content`` is ``ext4``, ``swap``, ``xfs``, ``crypto_LUKS``, ``unknown`` …, as blkid has it. ``disk`` is the disk's
    place in boot order, from 0, and ``partition`` the number on it; ``None`` and 0 where it lies on several or on
    none. Sizes in bytes; ``free`` is ``None`` where it is not mounted.
    """

    device: str
    content: str
    size: int
    uuid: str = ""
    part_uuid: str = ""
    label: str = ""
    disk: int | None = None
    partition: int = 0
    free: int | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """An installed kernel: its release, its image, its initramfs (empty: none), its directory of modules."""

    release: str
    image: str
    initramfs: str
    modules: str


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """A guest's system. Texts come from the guest: hostile wherever they are shown.

    ``os_type`` is libguestfs's word (``linux``, ``windows``), empty where no system was found. ``firmware`` is
    ``bios`` or ``uefi``, by what the disk can boot with. ``mounts`` is from mount point to ``BlockDevice.device``,
    of what is mounted in the appliance. ``initramfs_tool`` is ``initramfs-tools``, ``dracut`` or ``mkinitcpio``;
    ``selinux`` is ``enforcing``, ``permissive``, ``disabled`` or empty. ``virtualization_tools`` are those of the
    former hypervisor that are installed (``open-vm-tools``).
    """

    os_type: str = ""
    distro: str = ""
    product: str = ""
    version: str = ""
    arch: str = ""
    hostname: str = ""
    package_format: str = ""
    package_manager: str = ""
    firmware: str = "bios"
    partition_table: str = ""
    root: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[BlockDevice, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    initramfs_tool: str = ""
    selinux: str = ""
    virtualization_tools: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """JSON shape, with every text on one line and printable."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def device_of(self, name: str) -> BlockDevice | None:
        """The device of that name in the appliance."""
        return next((device for device in self.devices if device.device == name), None)
