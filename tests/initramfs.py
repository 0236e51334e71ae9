"""Initramfs of guests, as distributions compress them, and the modules that they are made of."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
from collections.abc import Callable, Mapping
from typing import Final

import lz4.block
from backports import zstd

from hypersdkd.host.cpio import Member, archive

RELEASE: Final = "6.1.0-9-amd64"

#: As depmod writes it: a module and all that it needs, the nearest last.
DEP: Final = """kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_pci_modern_dev.ko:
kernel/drivers/virtio/virtio_pci_legacy_dev.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_legacy_dev.ko \
kernel/drivers/virtio/virtio_pci_modern_dev.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko \
kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/scsi/scsi_mod.ko:
kernel/drivers/scsi/sd_mod.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/scsi/virtio_scsi.ko: kernel/drivers/scsi/scsi_mod.ko kernel/drivers/virtio/virtio.ko \
kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/scsi/vmw_pvscsi.ko: kernel/drivers/scsi/scsi_mod.ko
"""

#: What VMware's hardware needs, and is in an initramfs before it is mended.
VMWARE: Final = (
    "kernel/drivers/scsi/scsi_mod.ko",
    "kernel/drivers/scsi/sd_mod.ko",
    "kernel/drivers/scsi/vmw_pvscsi.ko",
)


def module_files(place: str = f"/usr/lib/modules/{RELEASE}") -> dict[str, bytes]:
    """The directory of a kernel's modules, by absolute paths."""
    paths = [line.partition(":")[0] for line in DEP.splitlines()]
    return {
        **{f"{place}/{path}": f"module {path}".encode() for path in paths},
        f"{place}/modules.dep": DEP.encode(),
        f"{place}/modules.dep.bin": b"binary",
        f"{place}/modules.alias": b"alias",
        f"{place}/modules.alias.bin": b"binary",
        f"{place}/modules.builtin": b"kernel/fs/ext4/ext4.ko\n",
    }


def initramfs_tree(*modules: str, merged: bool = True) -> list[Member]:
    """The members of an initramfs with these modules; ``merged`` where ``/lib`` is a link to ``/usr/lib``."""
    place = f"{'usr/' if merged else ''}lib/modules/{RELEASE}"
    names: list[str] = []
    for path in [f"{place}/modules.dep", *(f"{place}/{module}" for module in modules)]:
        parts = path.split("/")
        names += [name for count in range(1, len(parts)) if (name := "/".join(parts[:count])) not in names]
    lib = [Member("lib", stat.S_IFLNK | 0o777, 7, b"usr/lib")] if merged else []
    dep = "".join(line + "\n" for line in DEP.splitlines() if line.partition(":")[0] in modules).encode()
    return [
        *lib,
        *(Member(name, stat.S_IFDIR | 0o755, 0) for name in names),
        Member(f"{place}/modules.dep", stat.S_IFREG | 0o644, len(dep), dep),
        *(Member(f"{place}/{module}", stat.S_IFREG | 0o644, 4, b"code") for module in modules),
        Member("init", stat.S_IFREG | 0o755, 9, b"#!/bin/sh"),
    ]


def early() -> bytes:
    """A processor's microcode, as it stands before all else, uncompressed."""
    return archive([Member("kernel/x86/microcode/GenuineIntel.bin", stat.S_IFREG | 0o644, 3, b"new")])


def compressed(name: str, data: bytes) -> bytes:
    """As a distribution's tool compresses it; empty for not at all."""
    return COMPRESSORS[name](data)


def _lz4(data: bytes) -> bytes:
    """``lz4 -l``."""
    blocks = [
        lz4.block.compress(data[start : start + (8 << 20)], store_size=False) for start in range(0, len(data), 8 << 20)
    ]
    return b"\x02\x21\x4c\x18" + b"".join(len(block).to_bytes(4, "little") + block for block in blocks)


COMPRESSORS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32),
    "zstd": zstd.compress,
    "lz4": _lz4,
}
