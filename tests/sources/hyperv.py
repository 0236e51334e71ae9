"""VHD and VHDX: Hyper-V, Azure, Virtual PC and XenServer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import images, vhds, vmdks
from tests.sources.plain import DATA, by_qemu, without
from tests.sources.row import Made, Row

QEMU, TEST = "qemu-img", "the test, by the published layout"


def cut(make: Callable[[Path], Made], part: float) -> Callable[[Path], Made]:
    """The file without its end."""

    def both(here: Path) -> Made:
        path = make(here).path
        return Made(images.cut(path, int(path.stat().st_size * part)))

    return both


def vhd(kind: str) -> Callable[[Path], Made]:
    """An image in which qemu has the size as it is, as Hyper-V has; else it is made up to a whole cylinder."""
    return by_qemu("vpc", f"subformat={kind}", "force_size=on")


def empty(name: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        (here / name).touch()
        return Made(here / name)

    return make


def rounded(here: Path) -> Made:
    """A disk of whole cylinders, which is what is left of the question of the size."""
    made = by_qemu("vpc", "subformat=dynamic")(here)
    out = here.parent / "size"
    images.qemu_img("convert", "-f", "vpc", "-O", "raw", made.path, out)
    return Made(made.path, (DATA.ljust(out.stat().st_size, b"\0"),))


def virtualbox(here: Path) -> Made:
    """A footer whose geometry says less than its size: qemu, left to itself, would cut the disk."""
    return Made(vhds.fixed(here / "disk.vhd", DATA, creator=b"vbox"), (DATA,))


def dynamic(here: Path) -> Made:
    writes = {0: DATA[: vmdks.MIB], 4 * vmdks.MIB: DATA[4 * vmdks.MIB :]}
    path = vhds.sparse(here / "disk.vhd", len(DATA), writes, block=512 << 10, aligned=True)
    return Made(path, (vmdks.applied(bytes(len(DATA)), writes),))


VHD_ROWS = (
    Row("vhd", "fixed", QEMU, vhd("fixed")),
    Row("vhd", "dynamic", QEMU, vhd("dynamic")),
    Row("vhd", "dynamic, its size made up to a cylinder", QEMU, rounded),
    Row("vhd", "fixed, with a geometry that is less than its size (VirtualBox)", TEST, virtualbox),
    Row("vhd", "dynamic, blocks of 512 KiB that are aligned and out of order", TEST, dynamic),
    Row("vhd", "a fixed disk cut in half", QEMU, cut(vhd("fixed"), 0.5), "image-truncated"),
    Row("vhd", "a dynamic disk cut in half", QEMU, cut(vhd("dynamic"), 0.5), "image-truncated"),
    Row("vhd", "a dynamic disk without its end", QEMU, cut(vhd("dynamic"), 0.9999), "image-truncated"),
    Row("vhd", "an empty file", TEST, empty("disk.vhd"), "image-empty"),
)


# -- chains, and VHDX ------------------------------------------------------------------------------------

FIRST = {512: vmdks.noise(1024, 1), 3 * vmdks.MIB - 512: vmdks.noise(vmdks.MIB, 2), 4 * vmdks.MIB + 8192: bytes(4096)}
SECOND = {1024: vmdks.noise(512, 3), len(DATA) - 512: vmdks.noise(512, 5)}
CHAIN = Made(Path(), (vmdks.applied(DATA, FIRST, SECOND),))
WHERE = "C:\\VMs\\"


def vhd_chain(base: str, *, aligned: bool = True) -> Callable[[Path], Made]:
    """Two children of a base that qemu-img makes; ids are what they find there."""

    def make(here: Path) -> Made:
        vhd(base)(here).path.rename(here / "base.vhd")
        uid = (here / "base.vhd").read_bytes()[-512:][68:84]
        size = len(DATA)
        vhds.sparse(here / "1.avhd", size, FIRST, parent=(f"{WHERE}base.vhd", uid), uid=b"1" * 16, aligned=aligned)
        top = vhds.sparse(here / "2.avhd", size, SECOND, parent=(f"{WHERE}1.avhd", b"1" * 16), aligned=aligned)
        return Made(top, CHAIN.disks)

    return make


def vhdx_chain(here: Path) -> Made:
    by_qemu("vhdx", "subformat=dynamic")(here).path.rename(here / "base.vhdx")
    raw = (here / "base.vhdx").read_bytes()
    newest = max((raw[at : at + 80] for at in (65536, 131072)), key=lambda head: int.from_bytes(head[8:16], "little"))
    vhds.vhdx(here / "1.avhdx", len(DATA), FIRST, parent=vhds.linkage(newest[32:48]), data_id=b"1" * 16)
    parent = vhds.linkage(b"1" * 16, "1.avhdx")
    return Made(vhds.vhdx(here / "2.avhdx", len(DATA), SECOND, parent=parent, block=2 * vmdks.MIB), CHAIN.disks)


def large_sectors(here: Path) -> Made:
    data = DATA + bytes(-len(DATA) % 4096)
    return Made(vhds.vhdx(here / "disk.vhdx", len(data), {0: data}, sector=4096), (data,))


def dirty(here: Path) -> Made:
    return Made(vhds.vhdx(here / "disk.vhdx", len(DATA), {0: DATA}, log_id=b"l" * 16))


def renewed(make: Callable[[Path], Made], name: str) -> Callable[[Path], Made]:
    """A chain whose link has got another id: something was written to it since."""

    def both(here: Path) -> Made:
        made = make(here)
        if name.endswith("x"):
            vhds.vhdx(here / name, len(DATA), FIRST, data_id=b"x" * 16)
        else:
            vhds.sparse(here / name, len(DATA), FIRST, uid=b"x" * 16)
        return Made(made.path)

    return both


CHILD_ROWS = (
    Row("vhd", "two children (AVHD) of a fixed disk", TEST, vhd_chain("fixed")),
    Row("vhd", "two children (AVHD) of a dynamic disk", TEST, vhd_chain("dynamic")),
    Row("vhd", "two children whose blocks are not aligned", TEST, vhd_chain("fixed", aligned=False)),
    Row("vhd", "a child without its parent", TEST, without("1.avhd", vhd_chain("fixed")), "source-incomplete"),
    Row("vhd", "a child of another parent", TEST, renewed(vhd_chain("fixed"), "1.avhd"), "image-parent-mismatch"),
    Row("vhd", "a child cut in half", TEST, cut(vhd_chain("fixed"), 0.5), "image-truncated"),
)
VHDX = by_qemu("vhdx", "subformat=dynamic")
VHDX_ROWS = (
    Row("vhdx", "fixed", QEMU, by_qemu("vhdx", "subformat=fixed")),
    Row("vhdx", "dynamic", QEMU, VHDX),
    Row("vhdx", "sectors of 4 KiB", TEST, large_sectors),
    Row("vhdx", "two children (AVHDX) of a dynamic disk", TEST, vhdx_chain),
    Row("vhdx", "a child without its parent", TEST, without("1.avhdx", vhdx_chain), "source-incomplete"),
    Row(
        "vhdx", "a child whose parent was changed since", TEST, renewed(vhdx_chain, "1.avhdx"), "image-parent-mismatch"
    ),
    Row("vhdx", "a child cut in half", TEST, cut(vhdx_chain, 0.5), "image-truncated"),
    Row("vhdx", "cut in half", QEMU, cut(VHDX, 0.5), "image-truncated"),
    Row("vhdx", "copied while in use: a log to be replayed", TEST, dirty, "image-unsupported"),
    Row("vhdx", "an empty file", TEST, empty("disk.vhdx"), "image-empty"),
)

ROWS = (*VHD_ROWS, *CHILD_ROWS, *VHDX_ROWS)
