"""Real disk images for tests, good and bad; made by qemu-img, or byte by byte where it makes none."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

MIB = 1 << 20
SECTOR = 512


def qemu_img(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the real qemu-img; raises when it fails, with what it said."""
    done = subprocess.run(["qemu-img", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def raw_disk(path: Path, size: int = 16 * MIB, seed: int = 1) -> Path:
    """A disk with an MBR's mark, some data at 1 MiB and some in its very last sectors."""
    noise = random.Random(seed)
    with path.open("wb") as file:
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(MIB)
        file.write(noise.randbytes(MIB))
        file.seek(size - 700)
        file.write(noise.randbytes(700))
    return path


def make(path: Path, *options: str, size: int = 16 * MIB, form: str = "") -> Path:
    """An image of the format that ``path``'s suffix names, holding :func:`raw_disk`."""
    form = form or path.suffix[1:]
    if form == "raw":
        return raw_disk(path, size)
    raw = raw_disk(path.with_name(path.name + ".origin"), size)
    words = [word for option in options for word in ("-o", option)]
    qemu_img("convert", "-f", "raw", "-O", form, *words, raw, path)
    return path


def patch(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite some bytes."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return path


def cut(path: Path, size: int) -> Path:
    """Keep only the first ``size`` bytes."""
    os.truncate(path, size)
    return path


DESCRIPTOR = (
    "# Disk DescriptorFile\n"
    "version=1\n"
    "CID=12345678\n"
    "parentCID=ffffffff\n"
    'createType="{kind}"\n'
    "\n# Extent description\n"
    "{extents}\n"
    "\n# The Disk Data Base\n#DDB\n"
    'ddb.adapterType = "lsilogic"\n'
    'ddb.virtualHWVersion = "14"\n'
)


def descriptor(kind: str = "streamOptimized", extents: str = 'RW 32768 SPARSE "disk.vmdk"') -> bytes:
    """The text of a VMDK's descriptor."""
    return DESCRIPTOR.format(kind=kind, extents=extents).encode()


def vmdk_header(
    *, capacity: int, directory: int, flags: int = 0x30001, descriptor_sectors: int = 20, deflate: int = 1
) -> bytes:
    """The header of a sparse VMDK, version 3; numbers in sectors."""
    fields = (b"KDMV", 3, flags, capacity, 128, 1, descriptor_sectors, 512, 0, directory, 128, 0, b"\n \r\n", deflate)
    return struct.pack("<4sIIQQQQIQQQB4sH", *fields).ljust(SECTOR, b"\0")


def footered_vmdk(path: Path, size: int = 16 * MIB, text: bytes = b"") -> Path:
    """A streamOptimized VMDK as VMware exports it: the grain directory at the end, found by a footer."""
    data = raw_disk(path.with_name(path.name + ".origin"), size).read_bytes()
    capacity, grain = size // SECTOR, 128 * SECTOR
    out = bytearray(vmdk_header(capacity=capacity, directory=0xFFFFFFFFFFFFFFFF))
    out += (text or descriptor(extents=f'RW {capacity} SPARSE "disk.vmdk"')).ljust(20 * SECTOR, b"\0")
    out = out.ljust(128 * SECTOR, b"\0")
    tables = [[0] * 512 for _ in range(-(-size // (grain * 512)))]
    for number in range(0, size, grain):
        piece = data[number : number + grain]
        if piece.strip(b"\0"):
            packed = zlib.compress(piece.ljust(grain, b"\0"))
            tables[number // grain // 512][number // grain % 512] = len(out) // SECTOR
            out += _padded(struct.pack("<QI", number // SECTOR, len(packed)) + packed)
    places = []
    for table in tables:
        out += _padded(struct.pack("<QII", 4, 0, 1))
        places.append(len(out) // SECTOR)
        out += struct.pack("<512I", *table)
    out += _padded(struct.pack("<QII", 1, 0, 2))
    directory = len(out) // SECTOR
    out += _padded(struct.pack(f"<{len(places)}I", *places))
    out += _padded(struct.pack("<QII", 1, 0, 3)) + vmdk_header(capacity=capacity, directory=directory) + bytes(SECTOR)
    path.write_bytes(out)
    return path


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)
