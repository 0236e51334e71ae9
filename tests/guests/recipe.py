"""What each test guest is made of: plain data, so that a guest can be kept as long as its recipe stays."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

#: Whether ``script/test --all-guests`` asked for every guest, not the quick ones alone.
ALL_GUESTS: Final = "HYPERSDKD_ALL_GUESTS" in os.environ

#: One set of packages for all guests but those of dracut: making it takes longer than making a guest of it.
PACKAGES: Final = [
    "linux-image-amd64",
    "initramfs-tools",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
    "grub2-common",
    "efibootmgr",
    "lvm2",
    "btrfs-progs",
    "xfsprogs",
    "e2fsprogs",
    "dosfstools",
    "cryptsetup-bin",
    "ifupdown",
    "iproute2",
    "netbase",
    "login",
    "passwd",
    "open-vm-tools",
    "qemu-guest-agent",
    "iputils-arping",
]

#: The two tools that make an initramfs exclude each other.
DRACUT_PACKAGES: Final = ["dracut" if name == "initramfs-tools" else name for name in PACKAGES]

#: Left out while packages are unpacked: documents, and drivers that no virtual machine has.
EXCLUDED: Final = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
    "/lib/modules/*/kernel/drivers/infiniband/*",
    "/lib/modules/*/kernel/drivers/staging/*",
    "/lib/modules/*/kernel/drivers/iio/*",
    "/lib/modules/*/kernel/sound/*",
)

#: The drivers of VMware's hardware, and nothing of virtio.
INITRAMFS_MODULES: Final = ("vmw_pvscsi", "ata_piix", "ahci", "sd_mod", "ext4", "xfs", "btrfs", "dm_mod", "vmxnet3")

#: The address that each guest must keep, in the network that QEMU's user networking has.
ADDRESS: Final = "10.0.2.77"
GATEWAY: Final = "10.0.2.2"

#: In the range of VMware's.
MAC: Final = "00:50:56:aa:bb:01"

#: What VMware's slot 192 makes of the first network card.
INTERFACE: Final = "ens192"


#: Of a root on one of two disks: which of them is sda differs from boot to boot, since Linux looks at both at once.
XFS_UUID: Final = "5f2c4b0e-9a4e-4c9c-8a55-6d6a4f0e2b11"

#: The second disk on VMware's SCSI card, as udev names it by its path.
SECOND_DISK: Final = "/dev/disk/by-path/pci-0000:00:02.0-scsi-0:0:1:0"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One guest. ``sizes`` are its disks in MiB; ``layout`` names how they are divided; see ``build``.

    ``files`` are written last, over what the packages brought; ``services`` are then enabled. ``filesystems`` is what a
    table says of them. ``quick``: not only for ``script/test --all-guests``.
    """

    name: str
    firmware: str
    layout: str
    sizes: tuple[int, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    initramfs: str = "initramfs-tools"
    filesystems: str = "ext4"
    quick: bool = False
    services: tuple[str, ...] = ()

    @property
    def packages(self) -> list[str]:
        """Names of Debian's packages that the guest consists of."""
        return DRACUT_PACKAGES if self.initramfs == "dracut" else PACKAGES

    def key(self, builder: bytes) -> str:
        """Changes with anything that the guest is made of, ``builder`` included."""
        made_of = json.dumps([asdict(self), self.packages, EXCLUDED, INITRAMFS_MODULES], sort_keys=True).encode()
        return hashlib.sha256(made_of + builder).hexdigest()[:16]


_INTERFACES: Final = f"""auto lo
iface lo inet loopback

allow-hotplug {INTERFACE}
iface {INTERFACE} inet static
    address {ADDRESS}/24
    gateway {GATEWAY}
"""

_DEFAULT_GRUB: Final = """GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_DISABLE_LINUX_UUID=true
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
GRUB_TERMINAL="console serial"
"""

_COMMON: Final = {
    "/etc/network/interfaces": _INTERFACES,
    "/etc/default/grub": _DEFAULT_GRUB,
    "/etc/hostname": "vm1\n",
}

RECIPES: Final = (
    Recipe(
        "bios-ext4",
        "bios",
        "mbr-ext4",
        (1024,),
        {**_COMMON, "/etc/fstab": "# /etc/fstab\n/dev/sda1 / ext4 errors=remount-ro 0 1\n"},
        quick=True,
    ),
    Recipe(
        "uefi-lvm",
        "uefi",
        "gpt-lvm",
        (1280,),
        {
            **_COMMON,
            "/etc/fstab": "/dev/mapper/vg0-root / ext4 errors=remount-ro 0 1\n"
            "/dev/sda2 /boot ext4 defaults 0 2\n/dev/sda1 /boot/efi vfat umask=0077 0 1\n"
            "/dev/mapper/vg0-swap none swap sw 0 0\n",
        },
        filesystems="LVM with ext4 and swap; ext4; vfat",
        quick=True,
    ),
    Recipe(
        "btrfs-subvolumes",
        "bios",
        "mbr-btrfs",
        (1280,),
        {
            **_COMMON,
            "/etc/network/interfaces": "auto lo\niface lo inet loopback\n",
            "/etc/systemd/network/lan.network": f"[Match]\nName={INTERFACE}\n\n[Network]\n"
            f"Address={ADDRESS}/24\nGateway={GATEWAY}\n",
            "/etc/fstab": "/dev/sda1 / btrfs subvol=@ 0 0\n/dev/sda1 /home btrfs subvol=@home 0 0\n",
        },
        filesystems="btrfs, subvolumes @ and @home",
        services=("systemd-networkd",),
    ),
    Recipe(
        "xfs-two-disks",
        "bios",
        "mbr-xfs-two-disks",
        (1280, 512),
        {
            **_COMMON,
            "/etc/default/grub": _DEFAULT_GRUB.replace("GRUB_DISABLE_LINUX_UUID=true\n", ""),
            "/etc/fstab": f"UUID={XFS_UUID} / xfs defaults 0 1\n{SECOND_DISK}-part1 /home ext4 defaults 0 2\n",
        },
        filesystems="XFS; /home ext4 on a second disk, named by its path",
    ),
    Recipe(
        "dracut-host-only",
        "bios",
        "mbr-ext4",
        (1024,),
        {**_COMMON, "/etc/fstab": "/dev/sda1 / ext4 errors=remount-ro 0 1\n"},
        initramfs="dracut",
    ),
)
