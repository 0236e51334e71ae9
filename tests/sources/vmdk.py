"""VMDK: VMware's hosted products and ESXi, one file and many, with snapshots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import images, vmdks
from tests.sources.row import Made, Row

QEMU, TEST = "qemu-img", "the test, by the published layout"
DATA = vmdks.content()
SECTORS = len(DATA) // vmdks.SECTOR
FIRST = {4096: vmdks.noise(8192, 1), 2 * vmdks.MIB: bytes(4096)}
SECOND = {8192: vmdks.noise(4096, 2), 4 * vmdks.MIB: vmdks.noise(65536, 3)}


def by_qemu(kind: str) -> Callable[[Path], Made]:
    return lambda here: Made(vmdks.made_by_qemu(here, kind), (DATA,))


def large(kind: str) -> Callable[[Path], Made]:
    """Of more than 2 GiB, so that there are two files."""

    def make(here: Path) -> Made:
        raw = here / "origin.raw"
        with raw.open("wb") as file:
            file.write(DATA)
            file.truncate((2 << 30) + vmdks.MIB)
            file.seek((2 << 30) - 1000)
            file.write(vmdks.noise(3000))
        images.qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={kind}", raw, here / "disk.vmdk")
        assert len(list(here.glob("disk-?00?.vmdk"))) == 2
        return Made(here / "disk.vmdk", (b"",))

    return make


def footered(here: Path) -> Made:
    path = images.footered_vmdk(here / "disk.vmdk")
    return Made(path, ((here / "disk.vmdk.origin").read_bytes(),))


def esxi(here: Path) -> Made:
    return Made(vmdks.esx_flat(here, "web01", DATA, cid=1), (DATA,))


def esxi_snapshots(kind: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        esxi(here)
        vmdks.esx_delta(here, "web01-000001", "web01.vmdk", len(DATA), FIRST, kind)
        top = vmdks.esx_delta(here, "web01-000002", "web01-000001.vmdk", len(DATA), SECOND, kind, cid=3)
        return Made(top, (vmdks.applied(DATA, FIRST, SECOND),))

    return make


def hosted_snapshots(kind: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        base = vmdks.made_by_qemu(here, kind, name="web01.vmdk")
        first = vmdks.hosted_snapshot(here / "web01-000001.vmdk", base, FIRST)
        top = vmdks.hosted_snapshot(here / "web01-000002.vmdk", first, SECOND)
        return Made(top, (vmdks.applied(DATA, FIRST, SECOND),))

    return make


def pieces(here: Path) -> Made:
    (here / "a.vmdk").write_bytes(bytes(512) + DATA[: vmdks.MIB])
    (here / "b.vmdk").write_bytes(DATA[2 * vmdks.MIB :])
    hole = DATA[: vmdks.MIB] + bytes(vmdks.MIB) + DATA[2 * vmdks.MIB :]
    rest = SECTORS - 4096
    lines = ('RW 2048 FLAT "a.vmdk" 1', "RW 2048 ZERO", f'RDONLY {rest} FLAT "b.vmdk" 0')
    return text(here, "custom", *lines, disk=hole)


def text(here: Path, kind: str, *lines: str, disk: bytes = b"", **fields: object) -> Made:
    (here / "disk.vmdk").write_bytes(vmdks.text(kind, *lines, **fields))  # type: ignore[arg-type]
    return Made(here / "disk.vmdk", (disk,))


def without(name: str, make: Callable[[Path], Made]) -> Callable[[Path], Made]:
    def both(here: Path) -> Made:
        made = make(here)
        (here / name).unlink()
        return made

    return both


def cut(name: str, make: Callable[[Path], Made]) -> Callable[[Path], Made]:
    def both(here: Path) -> Made:
        made = make(here)
        images.cut(here / name, (here / name).stat().st_size // 2)
        return made

    return both


def changed_parent(here: Path) -> Made:
    made = esxi_snapshots("vmfsSparse")(here)
    base = here / "web01.vmdk"
    base.write_bytes(base.read_bytes().replace(b"CID=00000001", b"CID=00000009"))
    return made


def made_up(kind: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        path, data = vmdks.made_up(here, kind, DATA)
        return Made(path, (data,))

    return make


def less(name: str) -> Callable[[Path], Made]:
    """A disk of 2 MiB by its header."""

    def make(here: Path) -> Made:
        made = by_qemu("monolithicSparse")(here)
        images.patch(here / name, 12, (4096).to_bytes(8, "little"))
        return Made(made.path)

    return make


ROWS = (
    Row("vmdk", "monolithicSparse", QEMU, by_qemu("monolithicSparse")),
    Row("vmdk", "streamOptimized", QEMU, by_qemu("streamOptimized")),
    Row("vmdk", "streamOptimized with a footer, as exported by vSphere", TEST, footered),
    Row("vmdk", "monolithicSparse, its header made up to whole grains (VirtualBox)", TEST, made_up("monolithicSparse")),
    Row("vmdk", "twoGbMaxExtentSparse, its header made up to whole grains", TEST, made_up("twoGbMaxExtentSparse")),
    Row("vmdk", "a header with fewer sectors than its descriptor", QEMU, less("disk.vmdk"), "image-invalid"),
    Row("vmdk", "monolithicFlat", QEMU, by_qemu("monolithicFlat")),
    Row("vmdk", "twoGbMaxExtentSparse, two files", QEMU, large("twoGbMaxExtentSparse")),
    Row("vmdk", "twoGbMaxExtentFlat, two files", QEMU, large("twoGbMaxExtentFlat")),
    Row("vmdk", "vmfs: ESXi's descriptor and -flat.vmdk", TEST, esxi),
    Row("vmdk", "custom: an offset, an extent of zeros, a read-only one", TEST, pieces),
    Row("vmdk", "two snapshots of a monolithicSparse disk", QEMU, hosted_snapshots("monolithicSparse")),
    Row("vmdk", "two snapshots of a monolithicFlat disk", QEMU, hosted_snapshots("monolithicFlat")),
    Row("vmdk", "two snapshots of a twoGbMaxExtentSparse disk", QEMU, hosted_snapshots("twoGbMaxExtentSparse")),
    Row("vmdk", "two snapshots of ESXi, vmfsSparse (VMFS 5)", TEST, esxi_snapshots("vmfsSparse")),
    Row("vmdk", "two snapshots of ESXi, seSparse (VMFS 6)", "the test, as qemu reads it", esxi_snapshots("seSparse")),
    Row("vmdk", "an extent missing", TEST, without("web01-flat.vmdk", esxi), "source-incomplete"),
    Row("vmdk", "an extent cut in half", TEST, cut("web01-flat.vmdk", esxi), "image-truncated"),
    Row(
        "vmdk",
        "a monolithicSparse file cut in half",
        QEMU,
        cut("disk.vmdk", by_qemu("monolithicSparse")),
        "image-truncated",
    ),
    Row("vmdk", "a streamOptimized file cut in half", TEST, cut("disk.vmdk", footered), "image-truncated"),
    Row(
        "vmdk",
        "a snapshot cut in half",
        TEST,
        cut("web01-000002-delta.vmdk", esxi_snapshots("vmfsSparse")),
        "image-truncated",
    ),
    Row(
        "vmdk",
        "a snapshot without its parent",
        QEMU,
        without("web01.vmdk", hosted_snapshots("monolithicSparse")),
        "source-incomplete",
    ),
    Row("vmdk", "a snapshot whose parent was changed since", TEST, changed_parent, "image-parent-mismatch"),
    Row(
        "vmdk",
        "a raw device mapping",
        TEST,
        lambda here: text(here, "vmfsRawDeviceMap", 'RW 1 VMFSRDM "a"'),
        "image-unsupported",
    ),
    Row("vmdk", "a device", TEST, lambda here: text(here, "fullDevice", 'RW 1 FLAT "/dev/sda" 0'), "image-unsupported"),
    Row(
        "vmdk",
        "encrypted",
        TEST,
        lambda here: text(here, "vmfs", 'RW 1 VMFS "a"', more='encryptionKeys="x"'),
        "image-encrypted",
    ),
    Row(
        "vmdk",
        "an extent, named in place of its descriptor",
        TEST,
        lambda here: Made(here / esxi(here).path.with_name("web01-flat.vmdk")),
        "source-type-mismatch",
    ),
    Row("vmdk", "an empty file", TEST, lambda here: Made(images.cut(esxi(here).path, 0)), "image-empty"),
)
