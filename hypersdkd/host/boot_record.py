"""Whether a firmware could boot from a disk at all: then it is worth looking for a system on it."""

from __future__ import annotations

import os
from typing import Final

from hypersdkd.host import qemu_img
from hypersdkd.host.image_file import SECTOR
from hypersdkd.host.source_graph import opened
from hypersdkd.model.disk import SourceDisk

#: Ends the first sector of what a BIOS boots from; UEFI's partition tables begin with one of those too.
_SIGNATURE: Final = b"\x55\xaa"


def may_boot(disk: SourceDisk) -> bool:
    """Whether its first sector is a boot record, with code or partitions in it.

    Raises ``source-changed`` and what qemu-img raises.
    """
    with opened(disk) as source:
        record = first_sector(source)
    return record.endswith(_SIGNATURE) and any(record[: -len(_SIGNATURE)])


def first_sector(source: qemu_img.Source) -> bytes:
    """A disk's first 512 bytes, as a guest sees them."""
    fd = os.memfd_create("first-sector", os.MFD_CLOEXEC)
    try:
        qemu_img.copy_head(source, SECTOR, fd)
        return os.pread(fd, SECTOR, 0)
    finally:
        os.close(fd)
