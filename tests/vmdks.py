"""VMDKs of several files, and ESXi's sparse extents, which qemu-img does not make."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests import images

SECTOR = images.SECTOR
MIB = images.MIB

#: A size that is no whole number of grains, megabytes or of ESXi's 4 KiB.
ODD = 5 * MIB + 3 * SECTOR


def noise(length: int, seed: int = 9) -> bytes:
    """Random bytes, always the same."""
    return random.Random(seed).randbytes(length)


def content(size: int = ODD, seed: int = 9) -> bytes:
    """A disk with random data, holes, zeros that are written, and data to its very end."""
    data = bytearray(size)
    for offset, length in ((0, 700), (MIB, 200_000), (2 * MIB - 512, 1024), (size - 1300, 1300)):
        data[offset : offset + length] = noise(length, seed + offset)
    return bytes(data)


def text(
    kind: str, *extents: str, cid: int = 0x1234, parent: int | None = None, hint: str = "", more: str = ""
) -> bytes:
    """A descriptor."""
    lines = ["# Disk DescriptorFile", "version=1", 'encoding="UTF-8"', f"CID={cid:08x}"]
    lines.append(f"parentCID={0xFFFFFFFF if parent is None else parent:08x}")
    lines.append(f'createType="{kind}"')
    lines += [f'parentFileNameHint="{hint}"'] if hint else []
    lines += ["# Extent description", *extents, "# The Disk Data Base", "#DDB", 'ddb.adapterType = "lsilogic"', more]
    return "\n".join(lines).encode() + b"\n"


def esx_flat(directory: Path, name: str, data: bytes, **fields: object) -> Path:
    """A disk as ESXi keeps it: a descriptor and ``NAME-flat.vmdk``."""
    (directory / f"{name}-flat.vmdk").write_bytes(data)
    path = directory / f"{name}.vmdk"
    extent = f'RW {len(data) // SECTOR} VMFS "{name}-flat.vmdk"'
    path.write_bytes(text("vmfs", extent, **fields))  # type: ignore[arg-type]
    return path


def esx_delta(
    directory: Path,
    name: str,
    parent: str,
    size: int,
    writes: Mapping[int, bytes],
    kind: str = "vmfsSparse",
    cid: int = 2,
) -> Path:
    """A snapshot as ESXi keeps it, of a parent with the content id ``cid - 1``."""
    extent = f"{name}-{'delta' if kind == 'vmfsSparse' else 'sesparse'}.vmdk"
    make = cowd if kind == "vmfsSparse" else sesparse
    make(directory / extent, size, writes)
    path = directory / f"{name}.vmdk"
    line = f'RW {size // SECTOR} {kind.upper()} "{extent}"'
    path.write_bytes(text(kind, line, cid=cid, parent=cid - 1, hint=parent))
    return path


def applied(data: bytes, *writes: Mapping[int, bytes]) -> bytes:
    """What a disk holds after the writes."""
    result = bytearray(data)
    for some in writes:
        for offset, piece in some.items():
            result[offset : offset + len(piece)] = piece
    return bytes(result)


def cowd(path: Path, size: int, writes: Mapping[int, bytes]) -> Path:
    """A vmfsSparse extent with grains of one sector; what is written is in whole sectors."""
    sectors = size // SECTOR
    entries = -(-sectors // 4096)
    tables: dict[int, list[int]] = {}
    grains: list[bytes] = []
    directory = [0] * entries
    data_start = 4 + -(-4 * entries // SECTOR)
    for offset, data in sorted(writes.items()):
        for at in range(0, len(data), SECTOR):
            sector = (offset + at) // SECTOR
            tables.setdefault(sector // 4096, [0] * 4096)[sector % 4096] = len(grains) + 1
            grains.append(data[at : at + SECTOR])
    first_grain = data_start + 32 * len(tables)
    for number, index in enumerate(tables):
        directory[index] = data_start + 32 * number
    head = struct.pack("<4sIIIIIII", b"COWD", 1, 3, sectors, 1, 4, entries, first_grain + len(grains))
    out = head.ljust(4 * SECTOR, b"\0") + struct.pack(f"<{entries}I", *directory)
    out = out.ljust(data_start * SECTOR, b"\0")
    for table in tables.values():
        out += struct.pack("<4096I", *(entry and entry - 1 + first_grain for entry in table))
    path.write_bytes(out + b"".join(grains))
    return path


def sesparse(path: Path, size: int, writes: Mapping[int, bytes], replay: int = 0) -> Path:
    """A seSparse extent, with grains of 4 KiB; an empty piece is a grain of zeros."""
    sectors = size // SECTOR
    entries = max(64, -(-sectors // (8 * 4096)))
    directory_sectors = -(-8 * entries // SECTOR)
    tables: dict[int, list[int]] = {}
    grains: list[bytes] = []
    for offset, data in sorted(writes.items()):
        assert offset % 4096 == 0
        for at in range(0, len(data) or 1, 4096):
            grain = (offset + at) // 4096
            index = len(grains)
            entry = 3 << 60 | (index & 0xFFF) << 48 | index >> 12 if data else 2 << 60
            tables.setdefault(grain // 4096, [0] * 4096)[grain % 4096] = entry
            grains += [data[at : at + 4096].ljust(4096, b"\0")] if data else []
    directory = [0] * (directory_sectors * 64)
    for number, table_index in enumerate(tables):
        directory[table_index] = 0x1000_0000 << 32 | number
    tables_at = 2 + directory_sectors
    grains_at = tables_at + 64 * len(tables)
    values = [0xCAFEBABE, 0x2_0000_0001, sectors, 8, 64, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    values += [2, directory_sectors, tables_at, 64 * len(tables), 0, 0, 0, 0, grains_at, 8 * len(grains)]
    out = struct.pack("<26Q", *values).ljust(SECTOR, b"\0")
    out += struct.pack("<4Q", 0xCAFECAFE, 0, 0, replay).ljust(SECTOR, b"\0")
    out += struct.pack(f"<{len(directory)}Q", *directory)
    out += b"".join(struct.pack("<4096Q", *table) for table in tables.values())
    path.write_bytes(out + b"".join(grains))
    return path


def made_by_qemu(directory: Path, kind: str, data: bytes | None = None, name: str = "disk.vmdk") -> Path:
    """A disk of ``data``, made by qemu-img in a subformat."""
    raw = directory / "origin.raw"
    raw.write_bytes(content() if data is None else data)
    images.qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", raw, directory / name)
    raw.unlink()
    return directory / name


def made_up(directory: Path, kind: str, data: bytes) -> tuple[Path, bytes]:
    """A sparse disk as VirtualBox makes it: the header has whole grains of 64 KiB, the descriptor has not. And what
    qemu finds in it."""
    whole = data + bytes(-len(data) % 65536)
    path = made_by_qemu(directory, kind, whole)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"RW %d" % (len(whole) // SECTOR), b"RW %d" % (len(data) // SECTOR), 1))
    assert path.read_bytes() != content and path.stat().st_size == len(content)
    return path, whole


def hosted_snapshot(path: Path, parent: Path, writes: Mapping[int, bytes]) -> Path:
    """A snapshot as VMware Workstation keeps it, in one sparse file; made by qemu-img over a parent beside it."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-b", parent.name, "-F", "vmdk", path.name],
        check=True,
        cwd=path.parent,
        capture_output=True,
    )
    for offset, data in writes.items():
        piece = path.with_name("piece")
        piece.write_bytes(data)
        command = f"write -s piece {offset} {len(data)}"
        subprocess.run(
            ["qemu-io", "-f", "vmdk", "-c", command, path.name], check=True, cwd=path.parent, capture_output=True
        )
        piece.unlink()
    return path
