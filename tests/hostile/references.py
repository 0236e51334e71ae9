"""Images that name files of the host: backing files, data files, extents, parents."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests import images, vmdks
from tests.hostile.bare import convert
from tests.hostile.case import HANGS, LEAKS, REFUSES, Case, Place

Make = Callable[[Place], Path]


def backed(name: Callable[[Place], str], form: str = "raw") -> Make:
    """A qcow2 image over what ``name`` says."""

    def make(place: Place) -> Path:
        path = place.here / "disk.qcow2"
        images.qemu_img("create", "-u", "-f", "qcow2", "-b", name(place), "-F", form, path, "1M")
        return path

    return make


def data_file(name: Callable[[Place], str]) -> Make:
    """All that the image says is where its data are: behind its header's 112 bytes stands nothing else."""

    def make(place: Place) -> Path:
        path, stand_in = place.here / "disk.qcow2", place.here / "data"
        images.qemu_img("create", "-f", "qcow2", "-o", f"data_file={stand_in},data_file_raw=on", path, "64k")
        stand_in.unlink()
        named = os.fsencode(name(place))
        extension = b"DATA" + len(named).to_bytes(4, "big") + named + bytes(-len(named) % 8 + 8)
        return images.patch(path, 112, extension.ljust(1024, b"\0"))

    return make


def linked_data(place: Place) -> Path:
    (place.here / "disk.data").symlink_to(place.canary)
    return data_file(lambda at: str(at.here / "disk.data"))(place)


def fifo_data(place: Place) -> Path:
    os.mkfifo(place.here / "disk.data")
    return data_file(lambda at: str(at.here / "disk.data"))(place)


def nested(place: Place) -> Path:
    (place.here / "inner.vmdk").write_bytes(vmdks.text("monolithicFlat", f'RW 128 FLAT "{place.canary}" 0'))
    return backed(lambda _place: "inner.vmdk", "vmdk")(place)


def linked_backing(place: Place) -> Path:
    (place.here / "base.raw").symlink_to(place.canary)
    return backed(lambda _place: "base.raw")(place)


def fifo_backing(place: Place) -> Path:
    os.mkfifo(place.here / "base.raw")
    return backed(lambda _place: "base.raw")(place)


def own_backing(place: Place) -> Path:
    return backed(lambda _place: "disk.qcow2", "qcow2")(place)


def extent(line: Callable[[Place], str], kind: str = "monolithicFlat", pad: int = 0) -> Make:
    """A descriptor with one line of an extent."""

    def make(place: Place) -> Path:
        path = place.here / "disk.vmdk"
        path.write_bytes(vmdks.text(kind, line(place)).ljust(pad, b"\0"))
        return path

    return make


def linked_extent(place: Place) -> Path:
    (place.here / "disk-flat.vmdk").symlink_to(place.canary)
    return extent(lambda _place: 'RW 128 FLAT "disk-flat.vmdk" 0')(place)


def linked_directory(place: Place) -> Path:
    (place.here / "beside").symlink_to(place.canary.parent)
    return extent(lambda place: f'RW 128 FLAT "beside/{place.canary.name}" 0')(place)


def fifo_extent(place: Place) -> Path:
    os.mkfifo(place.here / "disk-flat.vmdk")
    return extent(lambda _place: 'RW 128 FLAT "disk-flat.vmdk" 0')(place)


def embedded(place: Place) -> Path:
    """A sparse file without any content of its own: qemu then goes by its descriptor, which names another's file."""
    text = images.descriptor("monolithicFlat", f'RW 128 FLAT "{place.canary}" 0')
    path = place.here / "disk.vmdk"
    header = images.vmdk_header(capacity=0, directory=26, flags=3, deflate=0)
    path.write_bytes((header + text.ljust(20 * 512, b"\0")).ljust(1 << 20, b"\0"))
    return path


def parent(hint: Callable[[Path, Path], str], replaced: Callable[[Path, Path], None] = lambda _a, _b: None) -> Make:
    """A snapshot in one sparse file, as VMware Workstation keeps it, of a disk of somebody else's; ``replaced`` puts
    something into the place of its parent."""

    def make(place: Place) -> Path:
        base, other = place.here / "base.vmdk", place.canary.with_name(f"{place.here.name}.vmdk")
        vmdks.made_by_qemu(place.here, "monolithicSparse", place.canary.read_bytes()[:65536], base.name)
        path = vmdks.hosted_snapshot(place.here / "disk.vmdk", base, {})
        base.replace(other)
        replaced(base, other)
        before = path.read_bytes()
        text = before[512 : 21 * 512].rstrip(b"\0").replace(base.name.encode(), hint(other, place.here).encode())
        path.write_bytes(before[:512] + text.ljust(20 * 512, b"\0") + before[21 * 512 :])
        return path

    return make


def beside(other: Path, here: Path) -> str:
    return "base.vmdk"


def fifo(base: Path, other: Path) -> None:
    os.mkfifo(base)


def absolute(place: Place) -> str:
    return str(place.canary)


def relative(place: Place) -> str:
    return os.path.relpath(place.canary, place.here)


def way_up(place: Place) -> str:
    """From wherever qemu is: it looks for a data file there, not beside the image."""
    return "../" * 24 + str(place.canary).lstrip("/")


def by_protocol(place: Place) -> str:
    return f"file:{place.canary}"


def as_json(place: Place) -> str:
    return "json:" + json.dumps({"driver": "raw", "file": {"driver": "file", "filename": str(place.canary)}})


_OUT, _NO_FILE = "source-outside", "image-backing"
_QCOW2, _VMDK = convert("qcow2"), convert("vmdk")

_AS_NAME = "qemu takes it for a file's name"

BACKING_FILES = (
    Case("a backing file", "qcow2", backed(absolute), _OUT, _QCOW2, LEAKS),
    Case("a backing file by a way up", "qcow2", backed(relative), _OUT, _QCOW2, LEAKS),
    Case("a backing file in qemu's JSON", "qcow2", backed(as_json), _NO_FILE, _QCOW2, LEAKS),
    Case("a backing file by a protocol", "qcow2", backed(by_protocol), _NO_FILE, _QCOW2, LEAKS),
    Case("a backing file behind a link", "qcow2", linked_backing, _OUT, _QCOW2, LEAKS),
    Case("a backing file that names another", "qcow2", nested, "image-unsupported", _QCOW2, LEAKS),
    Case("a backing file that is a FIFO", "qcow2", fifo_backing, "source-not-regular", _QCOW2, HANGS),
    Case("a backing file that is the image itself", "qcow2", own_backing, "image-invalid", _QCOW2, HANGS),
)

DATA_FILES = (
    Case("a data file", "qcow2", data_file(absolute), _NO_FILE, _QCOW2, LEAKS),
    Case("a data file by a way up", "qcow2", data_file(way_up), _NO_FILE, _QCOW2, LEAKS),
    Case("a data file in qemu's JSON", "qcow2", data_file(as_json), _NO_FILE, _QCOW2, REFUSES, _AS_NAME),
    Case(
        "a data file by a protocol",
        "qcow2",
        data_file(lambda at: f"file:{at.canary}"),
        _NO_FILE,
        _QCOW2,
        REFUSES,
        _AS_NAME,
    ),
    Case("a data file behind a link", "qcow2", linked_data, _NO_FILE, _QCOW2, LEAKS),
    Case("a data file that is a FIFO", "qcow2", fifo_data, _NO_FILE, _QCOW2, HANGS),
)

EXTENTS = (
    Case("an extent", "vmdk", extent(lambda at: f'RW 128 FLAT "{at.canary}" 0'), _OUT, _VMDK, LEAKS),
    Case("an extent by a way up", "vmdk", extent(lambda at: f'RW 128 FLAT "{relative(at)}" 0'), _OUT, _VMDK, LEAKS),
    Case("an extent of ESXi's", "vmdk", extent(lambda at: f'RW 128 VMFS "{at.canary}"', "vmfs"), _OUT, _VMDK, LEAKS),
    Case("an extent behind a link", "vmdk", linked_extent, "source-not-regular", _VMDK, LEAKS),
    Case("an extent behind a linked directory", "vmdk", linked_directory, _OUT, _VMDK, LEAKS),
    Case("an extent that is a FIFO", "vmdk", fifo_extent, "source-not-regular", _VMDK, HANGS),
    Case("an extent named in a sparse file", "vmdk", embedded, "image-invalid", _VMDK, LEAKS),
)

PARENTS = (
    Case("a parent", "vmdk", parent(lambda other, _: str(other)), "source-incomplete", _VMDK, LEAKS),
    Case("a parent by a way up", "vmdk", parent(os.path.relpath), "source-incomplete", _VMDK, LEAKS),
    Case("a parent behind a link", "vmdk", parent(beside, Path.symlink_to), "source-not-regular", _VMDK, LEAKS),
    Case(
        "a parent that is a FIFO",
        "vmdk",
        parent(beside, lambda at, _: os.mkfifo(at)),
        "source-not-regular",
        _VMDK,
        HANGS,
    ),
    Case("a parent that is the snapshot", "vmdk", parent(lambda _a, _b: "disk.vmdk"), "image-invalid", _VMDK, HANGS),
)

CASES = (*BACKING_FILES, *DATA_FILES, *EXTENTS, *PARENTS)
