"""raw, qcow2 and VDI: disks that are one file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests import images, vmdks
from tests.sources.row import Made, Row

QEMU = "qemu-img"

DATA = vmdks.content()


def by_qemu(form: str, *options: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        (here / "origin").write_bytes(DATA)
        words = [word for option in options for word in ("-o", option)]
        images.qemu_img("convert", "-f", "raw", "-O", form, *words, here / "origin", here / f"disk.{form}")
        (here / "origin").unlink()
        return Made(here / f"disk.{form}", (DATA,))

    return make


def compressed(kind: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        (here / "origin").write_bytes(DATA)
        words = ("-c", "-o", f"compression_type={kind}", here / "origin", here / "disk.qcow2")
        images.qemu_img("convert", "-f", "raw", "-O", "qcow2", *words)
        (here / "origin").unlink()
        return Made(here / "disk.qcow2", (DATA,))

    return make


def compressed_and_cut(kind: str) -> Callable[[Path], Made]:
    """Two sectors short, of the last cluster of digits. qemu-img finds no errors in it, and converts it to another."""

    def make(here: Path) -> Made:
        (here / "origin").write_bytes("".join(map(str, range(100_000))).encode())
        path = here / "disk.qcow2"
        images.qemu_img(
            "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", f"compression_type={kind}", here / "origin", path
        )
        (here / "origin").unlink()
        return Made(images.cut(path, path.stat().st_size - 1024))

    return make


def encrypted(here: Path) -> Made:
    """By LUKS; its iterations take no time here.

    qemu-img gauges them by the processor time that a first few take, and gives up where the kernel's
    clock is too coarse to have seen any ("Unable to get accurate CPU usage"): then it is asked again.
    """
    options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
    words = ("--object", "secret,id=key,data=word", "-f", "qcow2", "-o", options, str(here / "disk.qcow2"), "1M")
    for _ in range(50):
        made = subprocess.run([QEMU, "create", "-q", *words], capture_output=True, text=True)
        if "accurate CPU usage" not in made.stderr:
            break
    assert made.returncode == 0, made.stderr
    return Made(here / "disk.qcow2")


def image_file(here: Path) -> Made:
    """With a hole in it, and one at its end."""
    path = here / "disk.img"
    with path.open("wb") as file:
        file.write(DATA)
        file.seek(3 * vmdks.MIB, os.SEEK_CUR)
        file.write(DATA[:4096])
        file.truncate(16 * vmdks.MIB)
    return Made(path, (path.read_bytes(),))


def odd_raw(here: Path) -> Made:
    (here / "disk.raw").write_bytes(DATA[:-100])
    return Made(here / "disk.raw", (DATA[:-100],))


def overlays(here: Path) -> Made:
    """Two, over a raw disk; each says where its own lies and of which format it is."""
    (here / "base.raw").write_bytes(DATA)
    pieces = {65536: vmdks.noise(65536, 1)}, {3 * vmdks.MIB: vmdks.noise(4096, 2), 65536: bytes(4096)}
    names = ("base.raw", "1.qcow2", "2.qcow2")
    for number, writes in enumerate(pieces):
        below, form = names[number], "qcow2" if number else "raw"
        images.qemu_img("create", "-q", "-f", "qcow2", "-b", below, "-F", form, here / names[number + 1])
        for offset, piece in writes.items():
            (here / "piece").write_bytes(piece)
            command = ["qemu-io", "-f", "qcow2", "-c", f"write -s piece {offset} {len(piece)}", names[number + 1]]
            subprocess.run(command, check=True, cwd=here, capture_output=True)
    (here / "piece").unlink()
    return Made(here / "2.qcow2", (vmdks.applied(DATA, *pieces),))


def outside(here: Path) -> Made:
    (here.parent / "secret").write_bytes(bytes(len(DATA)))
    images.qemu_img("create", "-q", "-f", "qcow2", "-b", "../secret", "-F", "raw", here / "disk.qcow2")
    return Made(here / "disk.qcow2")


def unsaid(here: Path) -> Made:
    """The upper one does not say of which format the lower one is, which has a backing file."""
    made = overlays(here)
    at = made.path.read_bytes().index(b"\xe2\x79\x2a\xca")
    return Made(images.patch(made.path, at, b"\x12\x34\x56\x78"))


def data_file(here: Path) -> Made:
    images.qemu_img("create", "-q", "-f", "qcow2", "-o", f"data_file={here}/data", here / "disk.qcow2", "1M")
    return Made(here / "disk.qcow2")


def patched(form: str, offset: int, data: bytes, *, exact: bool = False) -> Callable[[Path], Made]:
    """An image in which some bytes are others."""

    def make(here: Path) -> Made:
        made = by_qemu(form)(here)
        return Made(images.patch(made.path, offset, data), made.disks if exact else ())

    return make


def cut(form: str, part: float) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        path = by_qemu(form)(here).path
        return Made(images.cut(path, int(path.stat().st_size * part)))

    return make


def with_a_snapshot(here: Path) -> Made:
    made = by_qemu("qcow2")(here)
    images.qemu_img("snapshot", "-c", "before", made.path)
    return made


MIB_LITTLE, MIB_BIG = vmdks.MIB.to_bytes(8, "little"), vmdks.MIB.to_bytes(8, "big")


def shrunk(here: Path) -> Made:
    """To a size that ends within a cluster."""
    made = by_qemu("qcow2")(here)
    size = 2 * vmdks.MIB - 512 + 1024
    images.qemu_img("resize", "--shrink", "-f", "qcow2", made.path, str(size))
    return Made(made.path, (DATA[:size],))


def with_a_state(here: Path) -> Made:
    """What a machine that was suspended, resumed and had the snapshot removed leaves behind the disk's end."""
    made = by_qemu("qcow2")(here)
    (here / "state").write_bytes(b"QEVM" + vmdks.noise(65536 - 4))
    command = ["qemu-io", "-f", "qcow2", "-c", "write -b -s state 0 65536", made.path]
    subprocess.run(command, check=True, cwd=here, capture_output=True)
    (here / "state").unlink()
    return made


def without(name: str, make: Callable[[Path], Made]) -> Callable[[Path], Made]:
    def both(here: Path) -> Made:
        made = make(here)
        (here / name).unlink()
        return made

    return both


def renamed(form: str, name: str) -> Callable[[Path], Made]:
    return lambda here: Made(by_qemu(form)(here).path.rename(here / name))


def empty(here: Path) -> Made:
    (here / "disk").touch()
    return Made(here / "disk")


ROWS = (
    Row("raw", "an odd number of bytes", "the test", odd_raw),
    Row("raw", "an .img with holes", "the test", image_file),
    Row("raw", "an empty file", "the test", empty, "image-empty"),
    Row(
        "raw", "what begins like an image of another format", QEMU, renamed("qcow2", "disk.raw"), "source-type-mismatch"
    ),
    Row("qcow2", "two overlays over a raw disk", QEMU, overlays),
    Row("qcow2", "with internal snapshots: its current state", QEMU, with_a_snapshot),
    Row("qcow2", "not closed cleanly (a warning)", QEMU, patched("qcow2", 79, b"\1", exact=True)),
    Row("qcow2", "compressed by zlib", QEMU, compressed("zlib")),
    Row("qcow2", "compressed by zstd", QEMU, compressed("zstd")),
    Row("qcow2", "compressed by zlib, its last data cut", QEMU, compressed_and_cut("zlib"), "image-truncated"),
    Row("qcow2", "compressed by zstd, its last data cut", QEMU, compressed_and_cut("zstd"), "image-truncated"),
    Row("qcow2", "extended L2 entries", QEMU, by_qemu("qcow2", "extended_l2=on")),
    Row("qcow2", "version 3", "qemu-img", by_qemu("qcow2")),
    Row("qcow2", "version 2", "qemu-img", by_qemu("qcow2", "compat=0.10")),
    Row("qcow2", "a backing file outside the directories of sources", QEMU, outside, "source-outside"),
    Row("qcow2", "a backing file missing", QEMU, without("base.raw", overlays), "source-incomplete"),
    Row("qcow2", "an overlay over an overlay whose format is not said", QEMU, unsaid, "image-backing"),
    Row("qcow2", "an external data file", QEMU, data_file, "image-backing"),
    Row("qcow2", "encrypted by LUKS", QEMU, encrypted, "image-encrypted"),
    Row("qcow2", "encrypted as of old (AES)", QEMU, patched("qcow2", 35, b"\1"), "image-encrypted"),
    Row("qcow2", "marked as corrupt", QEMU, patched("qcow2", 79, b"\2"), "image-invalid"),
    Row("qcow2", "made less by qemu-img", QEMU, shrunk),
    Row("qcow2", "with a saved state that no snapshot has any more", QEMU, with_a_state),
    Row("qcow2", "a size that was made less", QEMU, patched("qcow2", 24, MIB_BIG), "image-invalid"),
    Row("qcow2", "cut in half", QEMU, cut("qcow2", 0.5), "image-truncated"),
    Row("qcow2", "an empty file", "the test", empty, "image-empty"),
    Row("vdi", "dynamic", "qemu-img", by_qemu("vdi")),
    Row("vdi", "static", "qemu-img", by_qemu("vdi", "static=on")),
    Row("vdi", "a size that is less than its blocks", QEMU, patched("vdi", 0x170, MIB_LITTLE), "image-invalid"),
    Row("vdi", "cut in half", QEMU, cut("vdi", 0.5), "image-truncated"),
    Row("vdi", "a child: it only holds differences", QEMU, patched("vdi", 0x4C, b"\4"), "image-backing"),
    Row("vdi", "an empty file", "the test", empty, "image-empty"),
)
