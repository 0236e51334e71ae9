"""Guests on paper as five families of distributions lay them out, as VMware leaves them: all named by its hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hypersdkd.model.guest_facts import BlockDevice, GuestFacts, Kernel
from tests.plugins.paper_system import Entry, Link

MAC: Final = "00:50:56:aa:bb:01"
ADDRESS: Final = "10.0.2.77/24"

ESP = BlockDevice("/dev/sda1", "vfat", 1 << 29, uuid="ABCD-1234", part_uuid="p-1", disk=0, partition=1)
BOOT = BlockDevice("/dev/sda2", "ext4", 1 << 30, uuid="boot-uuid", part_uuid="p-2", disk=0, partition=2)
ROOT = BlockDevice("/dev/sda3", "ext4", 1 << 34, uuid="root-uuid", part_uuid="p-3", disk=0, partition=3)
SWAP = BlockDevice("/dev/sda4", "swap", 1 << 30, uuid="swap-uuid", part_uuid="p-4", disk=0, partition=4)

DEFAULT_LINK: Final = {"/usr/lib/systemd/network/99-default.link": "[Match]\nOriginalName=*\n"}


@dataclass(frozen=True)
class Paper:
    """A guest's files, what INSPECT would say of it, and lines that must be in files once it is fixed."""

    files: Mapping[str, Entry | str]
    facts: GuestFacts
    fixed: Mapping[str, str]
    unchanged: frozenset[str] = field(default=frozenset())


def _facts(distro: str, tool: str, firmware: str = "bios", *, root: str = "ext4", selinux: str = "") -> GuestFacts:
    mounts = {"/": "/dev/sda3", "/boot": "/dev/sda2", **({"/boot/efi": "/dev/sda1"} if firmware == "uefi" else {})}
    kernel = Kernel("6.1", "/boot/vmlinuz-6.1", "/boot/initrd.img-6.1", "/lib/modules/6.1")
    return GuestFacts(
        os_type="linux", distro=distro, arch="x86_64", firmware=firmware, root="/dev/sda3", mounts=mounts,
        devices=(ESP, BOOT, replace(ROOT, content=root), SWAP), kernels=(kernel,), initramfs_tool=tool,
        selinux=selinux,
    )  # fmt: skip


def _block(settings: str) -> bytes:
    return f"# GRUB Environment Block\n{settings}".encode().ljust(1024, b"#")


_GRUB_CFG: Final = (
    "menuentry 'Linux' {\n\tlinux\t/vmlinuz-6.1 root=/dev/sda3 ro quiet resume=/dev/sda4\n\tinitrd\t/initrd\n}\n"
)

DEBIAN = Paper(
    {
        **DEFAULT_LINK,
        "/etc/fstab": "# <file system>\n/dev/sda3 / ext4 errors=remount-ro 0 1\n/dev/sda4 none swap sw 0 0\n",
        "/etc/initramfs-tools/conf.d/resume": "RESUME=/dev/sda4\n",
        "/etc/initramfs-tools/modules": "# List of modules\nvmw_pvscsi\n",
        "/etc/default/grub": 'GRUB_DISABLE_LINUX_UUID=true\nGRUB_CMDLINE_LINUX="resume=/dev/sda4"\n',
        "/boot/grub/grub.cfg": _GRUB_CFG,
        "/boot/grub/device.map": "(hd0)\t/dev/disk/by-id/scsi-36000c29\n",
        "/etc/network/interfaces": f"auto ens192\niface ens192 inet static\n    address {ADDRESS}\n",
        "/etc/systemd/system/vmtoolsd.service": Link("/lib/systemd/system/open-vm-tools.service"),
        "/etc/systemd/system/multi-user.target.wants/open-vm-tools.service": Link(
            "/lib/systemd/system/open-vm-tools.service"
        ),
        "/lib/systemd/system/qemu-guest-agent.service": "[Service]\nExecStart=/usr/sbin/qemu-ga\n",
    },
    _facts("debian", "initramfs-tools"),
    {
        "/etc/fstab": "UUID=root-uuid / ext4 errors=remount-ro 0 1\nUUID=swap-uuid none swap sw 0 0",
        "/etc/initramfs-tools/conf.d/resume": "RESUME=UUID=swap-uuid",
        "/etc/initramfs-tools/modules": "# List of modules\nvmw_pvscsi\nvirtio_pci\n",
        "/etc/default/grub": 'GRUB_DISABLE_LINUX_UUID=false\nGRUB_CMDLINE_LINUX="resume=UUID=swap-uuid"',
        "/boot/grub/grub.cfg": "root=UUID=root-uuid ro quiet resume=UUID=swap-uuid",
        "/boot/grub/device.map": "",
        "/etc/systemd/network/10-hypersdkd-ens192.link": f"MACAddress={MAC}\nPath=*\n\n[Link]\nName=ens192\n",
        "/etc/systemd/system/vmtoolsd.service": "",
        "/etc/systemd/system/multi-user.target.wants/open-vm-tools.service": "",
    },
    frozenset({"/etc/network/interfaces"}),
)

UBUNTU = Paper(
    {
        **DEFAULT_LINK,
        "/etc/fstab": "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part3 / ext4 defaults 0 1\n"
        "/dev/sda1 /boot/efi vfat umask=0077 0 1\n",
        "/etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=quiet\n",
        "/etc/default/grub.d/50-cloudimg-settings.cfg": "GRUB_CMDLINE_LINUX_DEFAULT='root=/dev/sda3'\n",
        "/boot/grub/grub.cfg": _GRUB_CFG,
        "/boot/efi/EFI/ubuntu/shimx64.efi": b"SHIM",
        "/boot/efi/EFI/ubuntu/grubx64.efi": b"GRUB",
        "/boot/efi/EFI/ubuntu/mmx64.efi": b"MM",
        "/boot/efi/EFI/ubuntu/grub.cfg": "search.fs_uuid boot-uuid root\n"
        "set prefix=($root)/grub\nconfigfile $prefix/grub.cfg\n",
        "/etc/netplan/50-cloud-init.yaml": "network:\n  ethernets:\n    ens192:\n"
        f"      match: {{driver: vmxnet3}}\n      set-name: ens192\n      addresses: [{ADDRESS}]\n",
        "/etc/cloud/cloud.cfg.d/05_logging.cfg": "",
        "/etc/systemd/system/multi-user.target.wants/vgauthd.service": Link("/lib/systemd/system/vgauthd.service"),
    },
    _facts("ubuntu", "initramfs-tools", "uefi"),
    {
        "/etc/fstab": "UUID=root-uuid / ext4 defaults 0 1\nUUID=ABCD-1234 /boot/efi vfat umask=0077 0 1\n",
        "/etc/default/grub.d/50-cloudimg-settings.cfg": "'root=UUID=root-uuid'",
        "/boot/grub/grub.cfg": "root=UUID=root-uuid",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": "SHIM",
        "/boot/efi/EFI/BOOT/grubx64.efi": "GRUB",
        "/boot/efi/EFI/BOOT/mmx64.efi": "MM",
        "/boot/efi/EFI/BOOT/grub.cfg": "search.fs_uuid",
        "/etc/initramfs-tools/modules": "virtio_blk\n",
        "/etc/netplan/50-cloud-init.yaml": "match: {driver: virtio_net}",
        "/etc/cloud/cloud.cfg.d/99-hypersdkd-network.cfg": "network: {config: disabled}",
        "/etc/systemd/network/10-hypersdkd-ens192.link": f"MACAddress={MAC}",
        "/etc/systemd/system/multi-user.target.wants/vgauthd.service": "",
    },
    frozenset({"/etc/default/grub"}),
)

RED_HAT = Paper(
    {
        **DEFAULT_LINK,
        "/etc/fstab": "/dev/mapper/rhel-root / xfs defaults 0 0\n/dev/sda2 /boot ext4 defaults 0 0\n",
        "/etc/lvm/devices/system.devices": "IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda3\n",
        "/etc/default/grub": "GRUB_ENABLE_BLSCFG=true\n",
        "/boot/loader/entries/a-5.14.conf": "title RHEL\nlinux /vmlinuz-5.14\n"
        "options root=/dev/sda3 ro resume=/dev/sda4\n",
        "/boot/loader/entries/b-5.14.conf": "title RHEL\nlinux /vmlinuz-5.14\noptions $kernelopts $tuned_params\n",
        "/boot/grub2/grubenv": _block("saved_entry=a-5.14\nkernelopts=root=/dev/sda3 ro\n"),
        "/etc/kernel/cmdline": "root=/dev/sda3 ro\n",
        "/etc/dracut.conf.d/site.conf": 'add_drivers+=" vmw_pvscsi "\nhostonly="yes"\n',
        "/boot/grub2/device.map": "(hd0)      /dev/sda\n",
        "/etc/NetworkManager/system-connections/ens192.nmconnection": "[connection]\ntype=ethernet\n"
        f"interface-name=ens192\n\n[ipv4]\naddress1={ADDRESS},10.0.2.2\nmethod=manual\n",
        "/etc/sysconfig/network-scripts/ifcfg-ens192": f"DEVICE=ens192\nHWADDR={MAC.upper()}\nIPADDR=10.0.2.77\n",
        "/etc/systemd/system/multi-user.target.wants/vmtoolsd.service": Link(
            "/usr/lib/systemd/system/vmtoolsd.service"
        ),
        "/etc/systemd/system/vmtoolsd.service.requires/vgauthd.service": Link(
            "/usr/lib/systemd/system/vgauthd.service"
        ),
        "/usr/lib/systemd/system/qemu-guest-agent.service": "[Install]\n"
        "WantedBy=dev-virtio\\x2dports-org.qemu.guest_agent.0.device\n",
        "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    },
    _facts("rhel", "dracut", selinux="enforcing"),
    {
        "/etc/fstab": "/dev/mapper/rhel-root / xfs defaults 0 0\nUUID=boot-uuid /boot ext4 defaults 0 0",
        "/etc/lvm/devices/system.devices": "",
        "/boot/loader/entries/a-5.14.conf": "options root=UUID=root-uuid ro resume=UUID=swap-uuid",
        "/boot/grub2/grubenv": "kernelopts=root=UUID=root-uuid ro\n###",
        "/etc/kernel/cmdline": "root=UUID=root-uuid ro\n",
        "/etc/dracut.conf.d/50-virtio.conf": "virtio_blk",
        "/boot/grub2/device.map": "",
        "/etc/systemd/network/10-hypersdkd-ens192.link": f"MACAddress={MAC}",
        "/etc/systemd/system/multi-user.target.wants/vmtoolsd.service": "",
        "/etc/systemd/system/vmtoolsd.service.requires/vgauthd.service": "",
        "/etc/systemd/system/dev-virtio\\x2dports-org.qemu.guest_agent.0.device.wants/qemu-guest-agent.service": (
            "/usr/lib/systemd/system/qemu-guest-agent.service"
        ),
        "/.autorelabel": "-F",
    },
    frozenset({"/boot/loader/entries/b-5.14.conf", "/etc/dracut.conf.d/site.conf"}),
)

SUSE = Paper(
    {
        **DEFAULT_LINK,
        "/etc/fstab": "/dev/sda3  /  btrfs  subvol=@  0  0\n/dev/sda3  /home  btrfs  subvol=/@/home  0  0\n",
        "/etc/crypttab": "cr_swap  /dev/sda4  /dev/urandom  swap\n",
        "/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="splash=silent resume=/dev/disk/by-id/scsi-36000c29-part4"\n',
        "/boot/grub2/grub.cfg": _GRUB_CFG,
        "/boot/grub2/grubenv": _block("saved_entry=x\n"),
        "/boot/efi/EFI/opensuse/shim.efi": b"SHIM",
        "/boot/efi/EFI/opensuse/grub.efi": b"GRUB",
        "/boot/efi/EFI/opensuse/MokManager.efi": b"MM",
        "/boot/efi/EFI/opensuse/grubx64.efi": b"UNSIGNED",
        "/boot/efi/EFI/opensuse/grub.cfg": 'set btrfs_relative_path="yes"\nsource "${prefix}/grub.cfg"\n',
        "/etc/sysconfig/network/ifcfg-eth0": f"BOOTPROTO='static'\nIPADDR='{ADDRESS}'\nSTARTMODE='auto'\n",
        "/etc/sysconfig/network/ifcfg-lo": "IPADDR=127.0.0.1/8\n",
        "/etc/udev/rules.d/70-persistent-net.rules": f'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", '
        f'ATTR{{address}}=="{MAC}", ATTR{{type}}=="1", KERNEL=="eth*", NAME="eth0"\n'
        'SUBSYSTEM=="net", ACTION=="add", KERNELS=="0000:0b:00.0", NAME="eth7"\n',
    },
    _facts("opensuse-leap", "dracut", "uefi", root="btrfs"),
    {
        "/etc/fstab": "UUID=root-uuid  /  btrfs  subvol=@  0  0\nUUID=root-uuid  /home  btrfs  subvol=/@/home",
        "/etc/crypttab": "cr_swap  PARTUUID=p-4  /dev/urandom  swap",
        "/etc/dracut.conf.d/50-virtio.conf": "virtio_blk",
        "/etc/default/grub": 'splash=silent resume=UUID=swap-uuid"',
        "/boot/grub2/grub.cfg": "root=UUID=root-uuid",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": "SHIM",
        "/boot/efi/EFI/BOOT/grub.efi": "GRUB",
        "/boot/efi/EFI/BOOT/grubx64.efi": "UNSIGNED",
        "/boot/efi/EFI/BOOT/MokManager.efi": "MM",
        "/boot/efi/EFI/BOOT/grub.cfg": "btrfs_relative_path",
        "/etc/systemd/network/10-hypersdkd-eth0.link": f"MACAddress={MAC}",
        "/etc/udev/rules.d/70-persistent-net.rules": 'NAME="eth0"\n',
    },
    frozenset({"/etc/sysconfig/network/ifcfg-eth0", "/boot/grub2/grubenv"}),
)

ARCH = Paper(
    {
        **DEFAULT_LINK,
        "/etc/fstab": "# /dev/sda3\n/dev/sda3\t/\text4\trw,relatime\t0 1\n\n/dev/sda2\t/boot\text4\trw\t0 2\n",
        "/boot/efi/loader/entries/arch.conf": "title Arch\nlinux /vmlinuz-linux\n"
        "options cryptdevice=/dev/sda3:root root=/dev/mapper/root rw\n",
        "/boot/efi/EFI/systemd/systemd-bootx64.efi": b"SDBOOT",
        "/boot/efi/EFI/Microsoft/Boot/bootmgfw.efi": b"MS",
        "/etc/systemd/network/20-wired.network": f"[Match]\nName=ens192\n\n[Network]\nAddress={ADDRESS}\n",
        "/etc/netctl/lan": "Interface=ens192\nConnection=ethernet\nIP=dhcp\n",
        "/etc/modprobe.d/vmware.conf": "blacklist virtio_net\n",
        "/etc/mkinitcpio.conf": "MODULES=(\n  vmw_pvscsi\n)\nHOOKS=(base udev autodetect block filesystems)\n",
    },
    _facts("archlinux", "mkinitcpio", "uefi"),
    {
        "/etc/fstab": "# /dev/sda3\nUUID=root-uuid\t/\text4\trw,relatime\t0 1\n\n"
        "UUID=boot-uuid\t/boot\text4\trw\t0 2\n",
        "/boot/efi/loader/entries/arch.conf": "cryptdevice=UUID=root-uuid:root root=/dev/mapper/root rw\n",
        "/boot/efi/EFI/BOOT/BOOTX64.EFI": "SDBOOT",
        "/etc/systemd/network/10-hypersdkd-ens192.link": f"MACAddress={MAC}",
        "/etc/modprobe.d/vmware.conf": "# blacklist virtio_net\n",
        "/etc/mkinitcpio.conf": "virtio_blk",
    },
    frozenset({"/etc/systemd/network/20-wired.network", "/etc/netctl/lan"}),
)

DISTRIBUTIONS: Final = {"debian": DEBIAN, "ubuntu": UBUNTU, "red-hat": RED_HAT, "suse": SUSE, "arch": ARCH}
