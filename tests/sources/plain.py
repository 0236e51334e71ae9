"""raw, qcow2 and VDI: disks that are one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import images, vmdks
from tests.sources.row import Made, Row

DATA = vmdks.content()


def by_qemu(form: str, *options: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        (here / "origin").write_bytes(DATA)
        words = [word for option in options for word in ("-o", option)]
        images.qemu_img("convert", "-f", "raw", "-O", form, *words, here / "origin", here / f"disk.{form}")
        (here / "origin").unlink()
        return Made(here / f"disk.{form}", (DATA,))

    return make


def odd_raw(here: Path) -> Made:
    (here / "disk.raw").write_bytes(DATA[:-100])
    return Made(here / "disk.raw", (DATA[:-100],))


ROWS = (
    Row("raw", "an odd number of bytes", "the test", odd_raw),
    Row("qcow2", "version 3", "qemu-img", by_qemu("qcow2")),
    Row("qcow2", "version 2", "qemu-img", by_qemu("qcow2", "compat=0.10")),
    Row("vdi", "dynamic", "qemu-img", by_qemu("vdi")),
    Row("vdi", "static", "qemu-img", by_qemu("vdi", "static=on")),
)
