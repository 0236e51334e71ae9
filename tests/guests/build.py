"""Makes test guests: Debian packages into a tar by mmdebstrap, the tar into a disk by the libguestfs appliance.

No file system of a guest is ever mounted by this machine's kernel. A guest is kept under the hash of its recipe
and of this file, so that it is made once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import guestfs

from tests.guests.recipe import EXCLUDED, INITRAMFS_MODULES, XFS_UUID, Recipe

#: Where guests are kept between runs.
KEPT: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypersdkd-guests"

_MIB: Final = 1 << 20


def made(recipe: Recipe) -> tuple[Path, ...]:
    """The guest's disks, raw and sparse, made now if they are not kept. They are never to be written to."""
    builder = Path(__file__).read_bytes()
    place = KEPT / f"{recipe.name}-{recipe.key(builder)}"
    with _alone(recipe.name):
        if not place.is_dir():
            packages = _packages(recipe)
            draft = place.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            _fill(recipe, packages, [draft / f"disk{number}.raw" for number, _ in enumerate(recipe.sizes, 1)])
            draft.rename(place)
    return tuple(sorted(place.glob("disk*.raw")))


@contextmanager
def _alone(name: str) -> Iterator[None]:
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _packages(recipe: Recipe) -> Path:
    """The tar of all packages, whose initramfs knows VMware's disks alone."""
    key = hashlib.sha256(repr((recipe.packages, EXCLUDED, INITRAMFS_MODULES)).encode()).hexdigest()[:16]
    tar = KEPT / f"packages-{key}.tar"
    with _alone(tar.stem):
        if not tar.exists():
            draft = tar.with_suffix(".draft.tar")
            hook = KEPT / f"setup-{key}"
            hook.write_text(
                '#!/bin/sh\nset -e\nmkdir -p "$1/etc/initramfs-tools/conf.d"\n'
                'echo MODULES=list >"$1/etc/initramfs-tools/conf.d/vmware"\n'
                f"printf '%s\\n' {' '.join(INITRAMFS_MODULES)} >\"$1/etc/initramfs-tools/modules\"\n"
                if recipe.initramfs == "initramfs-tools"
                else "#!/bin/sh\n"
            )
            hook.chmod(0o755)
            excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
            argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(recipe.packages)}", *excluded]
            subprocess.run([*argv, f'--setup-hook={hook} "$1"', "bookworm", str(draft)], check=True, timeout=600)
            draft.rename(tar)
    return tar


def _fill(recipe: Recipe, packages: Path, disks: list[Path]) -> None:
    for disk, size in zip(disks, recipe.sizes, strict=True):
        with disk.open("wb") as file:
            file.truncate(size * _MIB)
    os.environ.setdefault("LIBGUESTFS_BACKEND", "direct")
    os.environ.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    appliance: Any = guestfs.GuestFS(python_return_dict=True)
    try:
        for disk in disks:
            appliance.add_drive_opts(str(disk), format="raw", cachemode="unsafe")
        appliance.set_memsize(1024)
        appliance.set_network(False)
        appliance.launch()
        _LAYOUTS[recipe.layout](appliance)
        appliance.tar_in(str(packages), "/", xattrs=True)
        for path, text in recipe.files.items():
            appliance.write(path, text)
        appliance.command(["sh", "-c", "echo root:test | chpasswd"])
        for service in recipe.services:
            appliance.command(["systemctl", "enable", service])
        if recipe.initramfs == "dracut":
            _host_only(appliance)
        _BOOTLOADERS[recipe.firmware](appliance)
        appliance.umount_all()
        appliance.shutdown()
    finally:
        appliance.close()


def _mbr_ext4(appliance: Any) -> None:
    appliance.part_init("/dev/sda", "mbr")
    appliance.part_add("/dev/sda", "p", 2048, -2048)
    appliance.part_set_bootable("/dev/sda", 1, True)
    appliance.mkfs("ext4", "/dev/sda1")
    appliance.mount("/dev/sda1", "/")


def _mbr_btrfs(appliance: Any) -> None:
    appliance.part_init("/dev/sda", "mbr")
    appliance.part_add("/dev/sda", "p", 2048, -2048)  # GRUB has no room before a partition at sector 64
    appliance.part_set_bootable("/dev/sda", 1, True)
    appliance.mkfs_btrfs(["/dev/sda1"])
    appliance.mount("/dev/sda1", "/")
    appliance.btrfs_subvolume_create("/@")
    appliance.btrfs_subvolume_create("/@home")
    appliance.umount("/")
    appliance.mount_options("subvol=@", "/dev/sda1", "/")
    appliance.mkdir("/home")
    appliance.mount_options("subvol=@home", "/dev/sda1", "/home")


def _mbr_xfs_two_disks(appliance: Any) -> None:
    for disk, kind, mount in (("/dev/sda", "xfs", "/"), ("/dev/sdb", "ext4", "/home")):
        appliance.part_init(disk, "mbr")
        appliance.part_add(disk, "p", 2048, -2048)
        appliance.mkfs(kind, f"{disk}1")
        if mount == "/":
            appliance.set_uuid(f"{disk}1", XFS_UUID)
        else:
            appliance.mkdir_p(mount)
        appliance.mount(f"{disk}1", mount)
    appliance.part_set_bootable("/dev/sda", 1, True)


def _host_only(appliance: Any) -> None:
    """An initramfs as dracut makes it on VMware: the appliance's own hardware, which is virtio, is not the guest's."""
    appliance.write("/etc/dracut.conf.d/host.conf", 'hostonly="yes"\nhostonly_cmdline="no"\n')
    release = appliance.ls("/lib/modules")[0]
    argv = ["dracut", "--force", "--add-drivers", " ".join(INITRAMFS_MODULES), "--omit-drivers", "virtio.*"]
    appliance.command([*argv, f"/boot/initrd.img-{release}", release])


def _gpt_lvm(appliance: Any) -> None:
    appliance.part_init("/dev/sda", "gpt")
    for start, end in ((2048, 133119), (133120, 526335), (526336, -2048)):
        appliance.part_add("/dev/sda", "p", start, end)
    appliance.part_set_gpt_type("/dev/sda", 1, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
    appliance.mkfs("vfat", "/dev/sda1")
    appliance.mkfs("ext4", "/dev/sda2")
    appliance.pvcreate("/dev/sda3")
    appliance.vgcreate("vg0", ["/dev/sda3"])
    appliance.lvcreate("swap", "vg0", 64)
    appliance.lvcreate_free("root", "vg0", 100)
    appliance.mkswap("/dev/vg0/swap")
    appliance.mkfs("ext4", "/dev/vg0/root")
    appliance.mount("/dev/vg0/root", "/")
    appliance.mkdir_p("/boot")
    appliance.mount("/dev/sda2", "/boot")
    appliance.mkdir_p("/boot/efi")
    appliance.mount("/dev/sda1", "/boot/efi")


def _grub_bios(appliance: Any) -> None:
    appliance.command(["grub-install", "--target=i386-pc", "/dev/sda"])
    appliance.command(["update-grub"])


def _grub_uefi(appliance: Any) -> None:
    """Without ``EFI/BOOT``: VMware's NVRAM knows the way, a fresh one does not."""
    appliance.command(
        ["grub-install", "--target=x86_64-efi", "--efi-directory=/boot/efi", "--bootloader-id=debian", "--no-nvram"]
    )
    appliance.command(["update-grub"])


_LAYOUTS: Final[dict[str, Callable[[Any], None]]] = {
    "mbr-ext4": _mbr_ext4,
    "gpt-lvm": _gpt_lvm,
    "mbr-btrfs": _mbr_btrfs,
    "mbr-xfs-two-disks": _mbr_xfs_two_disks,
}
_BOOTLOADERS: Final[dict[str, Callable[[Any], None]]] = {"bios": _grub_bios, "uefi": _grub_uefi}
