"""VHD and VHDX: Hyper-V, Azure, Virtual PC and XenServer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import images, vhds, vmdks
from tests.sources.plain import DATA, by_qemu
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

ROWS = VHD_ROWS
