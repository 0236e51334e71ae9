"""Virtio in an initramfs: what of it is missing, and what has to be added so that a guest finds its disk on KVM."""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Callable, Sequence
from typing import Final

from hypersdkd.host.cpio import Member
from hypersdkd.host.initramfs import Initramfs, with_members
from hypersdkd.host.kernel_modules import KernelModules, is_inside, is_module

#: Without these there is no disk and no network on KVM.
NEEDED: Final = ("virtio_pci", "virtio_blk", "virtio_net")

#: Put in with them, where the kernel has them; ``modules.dep`` does not always say that virtio_pci needs its parts.
WANTED: Final = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    *NEEDED,
    "virtio_scsi",
    "sd_mod",
    "failover",
    "net_failover",
)

#: What modprobe and udev look names and devices up in. Those of the guest's whole kernel replace the initramfs's own.
INDEXES: Final = (
    "modules.dep",
    "modules.dep.bin",
    "modules.alias",
    "modules.alias.bin",
    "modules.softdep",
    "modules.builtin",
    "modules.builtin.bin",
)

#: Members that hold a whole file system, which hides what is added beside it (dracut's module squash).
_INNER_IMAGES: Final = frozenset({"squashfs-root.img", "squash-root.img", "erofs-root.img"})

#: The first kernel whose unpacker of lz4 takes zeros for the end of an archive: lib/decompress_unlz4.c.
_LZ4_ENDS: Final = (5, 11)


def modules_place(initramfs: Initramfs, release: str) -> str:
    """The directory of the kernel's modules in it, by the links that are in it."""
    return initramfs.resolve(f"lib/modules/{release}")


def missing(initramfs: Initramfs, release: str, modules: KernelModules) -> tuple[str, ...]:
    """The files of virtio's modules, and of what they need, that are not in it. Relative to the modules' directory."""
    place = modules_place(initramfs, release)
    have = {_bare(name) for name in initramfs.members if name.startswith(f"{place}/") and is_module(name)}
    return tuple(path for path in modules.closure(WANTED) if _bare(f"{place}/{path}") not in have)


def unindexed(initramfs: Initramfs, release: str, modules: KernelModules) -> tuple[str, ...]:
    """The modules of :data:`NEEDED` that modprobe would not find in it though they may be there. Contents of
    ``modules.dep`` must have been asked for; without one (an initramfs with only the binary index) nothing is said."""
    member = initramfs.members.get(f"{modules_place(initramfs, release)}/modules.dep")
    if member is None or member.content is None:
        return ()
    known = KernelModules.parse(member.content, b"")
    return tuple(name for name in NEEDED if name in modules.files and name not in known.files)


def obstacle(initramfs: Initramfs, release: str, modules: KernelModules) -> str:
    """Why nothing can be added at its end, so that it must be made anew; empty if something can."""
    if any(posixpath.basename(name) in _INNER_IMAGES for name in initramfs.members):
        return "its files lie in an image within it"
    if initramfs.compressions and initramfs.compressions[-1] == "lz4" and _version(release) < _LZ4_ENDS:
        return "the kernel's unpacker of lz4 stops at what follows it"
    place = modules_place(initramfs, release)
    known = frozenset(modules.needs)
    for name in initramfs.members:
        if name.startswith(f"{place}/") and is_module(name) and name.removeprefix(f"{place}/") not in known:
            return "its modules lie elsewhere than those of the system, or are compressed in another way"
    return ""


def addition(
    data: bytes, initramfs: Initramfs, release: str, files: Sequence[str], read: Callable[[str], bytes | None]
) -> bytes:
    """What to append to the initramfs ``data`` so that it has these modules and finds them.

    ``read`` gives a file of the modules' directory by its relative path, ``None`` where there is none.
    """
    place = modules_place(initramfs, release)
    added: list[Member] = []
    made: set[str] = set()
    for path in [*files, *INDEXES]:
        content = read(path)
        if content is None:
            continue
        name = f"{place}/{path}"
        for directory in _above(name):
            # A directory in place of a link would hide all that the link leads to.
            if directory not in initramfs.members and directory not in made:
                made.add(directory)
                added.append(Member(directory, stat.S_IFDIR | 0o755, 0))
        added.append(Member(name, stat.S_IFREG | 0o644, len(content), content))
    return with_members(data, added)


def _bare(name: str) -> str:
    """A module's file without what it is compressed by."""
    return re.sub(r"\.ko\.(gz|xz|zst)$", ".ko", name)


def _above(name: str) -> Sequence[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def is_release(text: str) -> bool:
    """Whether it can be a kernel's release: one part of a path."""
    return is_inside(text) and "/" not in text and text not in {".", ".."} and not text.startswith("-")
