"""A guest of a few megabytes that boots nowhere: enough of a Linux for INSPECT, with traps, and made at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

MIB = 1 << 20

#: Where its partition begins, and how long it and the disk are.
OFFSET = MIB
SIZE = 48 * MIB

#: As a hostile guest calls itself.
PRODUCT = "Evil\x1b[2J <b>Linux</b>"

FILES: Mapping[str, str | bytes] = {
    "etc/os-release": f'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="{PRODUCT}"\n',
    "etc/debian_version": "12.1\n",
    "etc/hostname": "web\x07\x1b]0;owned\x07\n",
    "etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n/dev/sda7 /srv ext4 defaults 0 2\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/shadow": "root:$6$secret:19000::::::\n",
    "etc/selinux/config": "SELINUX=permissive\n",
    "etc/default/grub": "GRUB_CMDLINE_LINUX=root=/dev/sda1\n",
    "usr/bin/vmtoolsd": "\x7fELF",
    "usr/sbin/update-initramfs": "#!/bin/sh\n",
    "usr/sbin/tool": "#!/bin/sh\nexit 3\n",
    "lib/modules/6.1.0-1-amd64/modules.dep": "",
    "boot/vmlinuz-6.1.0-1-amd64": b"MZ" + bytes(64),
    "boot/initrd.img-6.1.0-1-amd64": b"0707" * 4,
    "home/data": b"\xff\x00binary",
}

LINKS: Mapping[str, str] = {
    "etc/key": "shadow",
    "etc/loop": "loop",
    "etc/dead": "nowhere",
    "etc/out": "../../../../../../etc/passwd",
    "etc/sysconfig/grub": "/etc/default/grub",
    "bin": "usr/bin",
}


def tiny_guest(
    path: Path,
    files: Mapping[str, str | bytes] = FILES,
    links: Mapping[str, str] = LINKS,
    size: int = SIZE - OFFSET,
) -> Path:
    """A raw disk at ``path``: a boot record, and one ext4 of ``size`` bytes with these files."""
    tree = path.with_suffix(".tree")
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for directory in ("usr/bin", "dev", "proc", "root", "tmp"):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    for name, target in links.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).symlink_to(target)
    os.mkfifo(tree / "etc/pipe")
    (tree / os.fsdecode(b"etc/b\xe9")).touch()
    with (tree / "etc/huge").open("wb") as file:
        file.truncate(64 << 30)
    with path.open("wb") as disk:
        disk.truncate(SIZE)
        disk.write(boot_record())
    argv = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-E", f"offset={OFFSET}", "-d", str(tree), str(path)]
    subprocess.run([*argv, f"{size >> 10}k"], check=True, capture_output=True)
    return path


def encrypted_guest(path: Path, key: str, filler: int = 16 * MIB) -> Path:
    """A raw disk at ``path`` whose only partition is LUKS, and in it the guest; with all of the ``filler`` less than
    16 MiB are free there."""
    plain = tiny_guest(path.with_suffix(".plain"), FILES | {"var/filler": os.urandom(filler)}, LINKS, 30 * MIB)
    inner = path.with_suffix(".inner")
    with plain.open("rb") as disk, inner.open("wb") as file:
        disk.seek(OFFSET)
        file.write(disk.read(SIZE - OFFSET))
    argv = ["cryptsetup", "reencrypt", "--encrypt", "--type=luks2", "--reduce-device-size=16M", "--batch-mode"]
    argv += ["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--key-file=-", str(inner)]
    subprocess.run(argv, input=key.encode(), check=True, capture_output=True)
    path.write_bytes(boot_record().ljust(OFFSET, b"\0") + inner.read_bytes())
    return path


def encrypted_disk(path: Path, key: str) -> Path:
    """A disk of LUKS and nothing in it, whose key is found out in no time."""
    with path.open("wb") as file:
        file.truncate(32 * MIB)
    argv = [
        "cryptsetup",
        "luksFormat",
        "--batch-mode",
        "--type=luks2",
        "--pbkdf=pbkdf2",
        "--pbkdf-force-iterations=1000",
    ]
    subprocess.run([*argv, str(path), "-"], input=key.encode(), check=True, capture_output=True)
    return path


def boot_record() -> bytes:
    """A master boot record with some code and one partition."""
    start, count = OFFSET // 512, (SIZE - OFFSET) // 512
    entry = b"\x80\xfe\xff\xff\x83\xfe\xff\xff" + start.to_bytes(4, "little") + count.to_bytes(4, "little")
    return b"\xfa\xeb\xfe".ljust(440, b"\0") + b"tiny\0\0" + entry + bytes(48) + b"\x55\xaa"
