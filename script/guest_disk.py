"""Builds a disk like one that a virtual machine was exported with: a partitioned Linux, as VMDK.

No root and no mounts: mke2fs fills the file system itself, at the partition's place in the file.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

SECTOR = 512
#: Where the one partition begins; the usual place of partitioning tools.
FIRST_SECTOR = 2048

#: What makes a tree recognisable as a Linux that came off VMware.
FILES = {
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
    "etc/debian_version": "12.8\n",
    "etc/hostname": "web01\n",
    "etc/fstab": "/dev/sda1 / ext4 errors=remount-ro 0 1\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\nauto ens192\niface ens192 inet dhcp\n",
    "etc/vmware-tools/tools.conf": "[guestinfo]\n",
    "var/www/html/index.html": "<!DOCTYPE html><title>web01</title><p>It moved.\n",
}


def write_tree(tree: Path, data_mib: int) -> None:
    """A small root file system with ``data_mib`` MiB of data, half of which compresses."""
    for name, text in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("boot", "dev", "home", "proc", "root", "run", "sys", "tmp", "usr/bin", "var/log", "var/lib/app"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "bin").symlink_to("usr/bin")
    chance = random.Random(1)
    line = b"2026-01-01T00:00:00Z web01 app[42]: request served in 12 ms\n"
    with (tree / "var/lib/app/data").open("wb") as data, (tree / "var/log/app.log").open("wb") as log:
        for _mebibyte in range(data_mib):
            data.write(chance.randbytes(1 << 19))
            log.write((line * (1 << 14))[: 1 << 19])


def build_raw(raw: Path, tree: Path, size_mib: int) -> None:
    """A disk of ``size_mib`` MiB with an MBR and one bootable ext4 partition that holds ``tree``."""
    sectors = size_mib * (1 << 20) // SECTOR
    # One entry of the partition table: bootable, no CHS address, type Linux, first sector, length.
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", FIRST_SECTOR, sectors - FIRST_SECTOR)
    with raw.open("wb") as disk:
        disk.truncate(sectors * SECTOR)
        disk.seek(446)
        disk.write(entry + bytes(48) + b"\x55\xaa")
    subprocess.run(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", str(tree)),
            *("-E", f"offset={FIRST_SECTOR * SECTOR},root_owner=0:0"),
            *(str(raw), f"{(sectors - FIRST_SECTOR) // 2}k"),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},  # where it is for all users
    )


def build_vmdk(vmdk: Path, *, size_mib: int, data_mib: int) -> Path:
    """The disk as streamOptimized VMDK, the form of exports; the raw disk it came from is returned."""
    tree, raw = vmdk.with_suffix(".tree"), vmdk.with_suffix(".source.raw")
    write_tree(tree, data_mib)
    build_raw(raw, tree, size_mib)
    shutil.rmtree(tree)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, vmdk], check=True
    )
    return raw
