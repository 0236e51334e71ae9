"""Tar archives, as OVAs and cloud images are: what leads out of them, what is no file, what is more than it seems."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests import images, vmdks
from tests.hostile.bare import PATIENCE, unpack
from tests.hostile.case import FILLS, LEAKS, REFUSES, SECRET, TAKES, Case, Place

CONTENT = b"x" * 512
Add = Callable[[tarfile.TarFile, Place], None]


def archive(*add: Add, name: str = "disk.ova") -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        with tarfile.open(place.here / name, "w", format=tarfile.GNU_FORMAT) as made:
            for one in add:
                one(made, place)
        return place.here / name

    return make


def file(name: str | Callable[[Place], str], content: bytes | Callable[[Place], bytes] = CONTENT) -> Add:
    def add(made: tarfile.TarFile, place: Place) -> None:
        data = content if isinstance(content, bytes) else content(place)
        member = tarfile.TarInfo(name if isinstance(name, str) else name(place))
        member.size = len(data)
        made.addfile(member, io.BytesIO(data))

    return add


def special(name: str, kind: bytes, link: Callable[[Place], str] = lambda _: "") -> Add:
    """A link, a device or a FIFO."""

    def add(made: tarfile.TarFile, place: Place) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.devmajor, member.devminor = kind, link(place), 1, 5
        made.addfile(member)

    return add


def canary(place: Place) -> str:
    return str(place.canary)


def descriptor(place: Place) -> bytes:
    return vmdks.text("monolithicFlat", f'RW 128 FLAT "{place.canary}" 0').ljust(1024, b"\0")


def in_place(source: Path, scratch: Path) -> str:
    """qemu-img, by the offset of the first member in the archive, told that it is a VMDK."""
    with tarfile.open(source) as opened:
        member = next(iter(opened))
    where = f"file.driver=raw,file.offset={member.offset_data},file.size={member.size},file.file.filename={source}"
    words = ["qemu-img", "convert", "--image-opts", f"driver=vmdk,{where}", "-O", "raw", scratch / "out"]
    done = subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False)
    return REFUSES if done.returncode else LEAKS if SECRET in (scratch / "out").read_bytes() else TAKES


def compressed(place: Place) -> Path:
    """64 MiB of zeros, by a thousandth of that."""
    plain = archive(file("disk.raw", bytes(64 << 20)), name="disk.tar")(place)
    path = place.here / "disk.tar.gz"
    path.write_bytes(gzip.compress(plain.read_bytes(), 1))
    plain.unlink()
    return path


def expanded(source: Path, scratch: Path) -> str:
    """``tarfile``, as above; then what it takes."""
    found = unpack(source, scratch)
    total = sum(path.stat().st_size for path in (scratch / "in").rglob("*") if path.is_file())
    return FILLS if total > 100 * source.stat().st_size else found


def cut(make: Callable[[Place], Path], size: int) -> Callable[[Place], Path]:
    return lambda place: images.cut(make(place), size)


def huge_number(place: Place) -> Path:
    """A member of an exbibyte, by its header."""
    path = archive(file("disk.raw"))(place)
    content = bytearray(path.read_bytes())
    content[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    path.write_bytes(content)
    return path


_LINK, _HARD, _FIFO, _DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE

CASES = (
    Case("a member with a way up", "ova", archive(file("../escaped")), "", unpack, TAKES),
    Case("a member with a path", "ova", archive(file(lambda at: str(at.here / "escaped"))), "", unpack, TAKES),
    Case("a member that is a link out", "ova", archive(special("disk.raw", _LINK, canary)), "", unpack, LEAKS),
    Case("a member that is a hard link out", "ova", archive(special("disk.raw", _HARD, canary)), "", unpack, LEAKS),
    Case(
        "a member through a link",
        "ova",
        archive(special("in", _LINK, lambda at: str(at.here)), file("in/escaped")),
        "",
        unpack,
        TAKES,
    ),
    Case("a member that is a device", "ami", archive(special("disk.raw", _DEVICE)), "", unpack, TAKES),
    Case("a member that is a FIFO", "ami", archive(special("disk.raw", _FIFO)), "", unpack, TAKES),
    Case("two members of a name", "ami", archive(file("disk.raw"), file("disk.raw", b"y" * 512)), "", unpack, TAKES),
    Case("a member that is a descriptor", "ova", archive(file("disk.vmdk", descriptor)), "", in_place, LEAKS),
    Case("a compressed archive of zeros", "ami", compressed, "", expanded, FILLS),
    Case("a member of an exbibyte", "ova", huge_number, "", unpack, REFUSES, "Python counts it"),
    Case(
        "an archive without its end",
        "ova",
        cut(archive(file("disk.raw", CONTENT * 9)), 2048),
        "",
        unpack,
        REFUSES,
        "Python counts",
    ),
)
