"""Tar archives, as OVAs and cloud images are: what leads out of them, what is no file, what is more than it seems."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests import appliances, images, vmdks
from tests.hostile.bare import PATIENCE, unpack
from tests.hostile.case import FILLS, LEAKS, REFUSES, SECRET, TAKES, Case, Place

CONTENT = b"x" * 512
OVF = appliances.ovf([{"file": "disk.vmdk"}])
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
    """qemu-img, by the offset of the disk in the archive, told that it is a VMDK."""
    with tarfile.open(source) as opened:
        member = opened.getmember("disk.vmdk")
    where = f"file.driver=raw,file.offset={member.offset_data},file.size={member.size},file.file.filename={source}"
    words = ["qemu-img", "convert", "--image-opts", f"driver=vmdk,{where}", "-O", "raw", scratch / "out"]
    done = subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False)
    return REFUSES if done.returncode else LEAKS if SECRET in (scratch / "out").read_bytes() else TAKES


def compressed(place: Place) -> Path:
    """96 MiB of one letter, by a thousandth of that; zeros would take no space."""
    plain = archive(file("disk.raw", b"A" * (96 << 20)), name="disk.tar")(place)
    path = place.here / "disk.tar.gz"
    path.write_bytes(gzip.compress(plain.read_bytes(), 9))
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


def sums(*files: tuple[str, bytes]) -> bytes:
    """A ``.mf`` in the spelling that coreutils read too."""
    return appliances.mf(dict(files), line="{word} ({name}) = {digits}\n")


def verified(source: Path, scratch: Path) -> str:
    """``tar`` and ``sha256sum --check`` by the first ``.mf``, and then the disk is taken."""
    unpack(source, scratch)
    promise = min((scratch / "in").glob("*.mf"))
    words = ["sha256sum", "--check", "--status", promise.name]
    return TAKES if subprocess.run(words, cwd=scratch / "in", check=False).returncode == 0 else REFUSES


_OVF = file("a.ovf", OVF)
_FORGED = file("disk.vmdk", b"y" * 512)
_TRUE, _FALSE = sums(("a.ovf", OVF), ("disk.vmdk", CONTENT)), sums(("a.ovf", OVF), ("disk.vmdk", b"y" * 512))
_LINK, _HARD, _FIFO, _DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE

_DISK_IS_A_DEVICE = archive(special("disk.raw", _DEVICE))
_BY_PATH = archive(file(lambda at: str(at.here / "escaped")))
_TWICE = archive(file("disk.raw"), file("disk.raw", b"y" * 512))

CASES = (
    Case("a member with a way up", "ova", archive(file("../escaped")), "source-outside", unpack, TAKES),
    Case(
        "a member with a path",
        "ova",
        _BY_PATH,
        "source-outside",
        unpack,
        TAKES,
    ),
    Case(
        "a member that is a link out",
        "ova",
        archive(_OVF, special("disk.vmdk", _LINK, canary)),
        "source-not-regular",
        unpack,
        LEAKS,
    ),
    Case(
        "a member that is a hard link out",
        "ova",
        archive(_OVF, special("disk.vmdk", _HARD, canary)),
        "source-not-regular",
        unpack,
        LEAKS,
    ),
    Case(
        "a member through a link",
        "ova",
        archive(
            file("a.ovf", appliances.ovf([{"file": "in/escaped"}])),
            special("in", _LINK, lambda at: str(at.here)),
            file("in/escaped"),
        ),
        "source-type-mismatch",
        unpack,
        TAKES,
    ),
    Case("a member that is a device", "ami", _DISK_IS_A_DEVICE, "source-not-regular", unpack, TAKES),
    Case("a member that is a FIFO", "ami", archive(special("disk.raw", _FIFO)), "source-not-regular", unpack, TAKES),
    Case(
        "two members of a name",
        "ami",
        _TWICE,
        "image-invalid",
        unpack,
        TAKES,
    ),
    Case(
        "a member that is a descriptor",
        "ova",
        archive(_OVF, file("disk.vmdk", descriptor)),
        "image-unsupported",
        in_place,
        LEAKS,
    ),
    Case("a compressed archive of one letter", "ami", compressed, "image-limits", expanded, FILLS),
    Case(
        "checksums without the disk's",
        "ova",
        archive(_OVF, _FORGED, file("a.mf", sums(("a.ovf", OVF)))),
        "source-checksum",
        verified,
        TAKES,
    ),
    Case(
        "no checksums in their file",
        "ova",
        archive(_OVF, _FORGED, file("a.mf", b"\n")),
        "source-checksum",
        verified,
        REFUSES,
        "sha256sum wants one line at least",
    ),
    Case(
        "another file of checksums before the true one",
        "ova",
        archive(_OVF, _FORGED, file("A.mf", _FALSE), file("a.mf", _TRUE), name="a.ova"),
        "image-invalid",
        verified,
        TAKES,
    ),
    Case(
        "another descriptor",
        "ova",
        archive(_OVF, file("b.ovf", OVF), file("disk.vmdk")),
        "image-invalid",
        unpack,
        TAKES,
    ),
    Case("a member of an exbibyte", "ova", huge_number, "image-truncated", unpack, REFUSES, "Python counts it"),
    Case(
        "an archive without its end",
        "ova",
        cut(archive(file("disk.raw", CONTENT * 9)), 2048),
        "image-truncated",
        unpack,
        REFUSES,
        "Python counts",
    ),
)
