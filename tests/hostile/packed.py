"""Archives and compressed disks of cloud images: bombs, headers that lie, members that are none."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import appliances
from tests.hostile.archives import OVF, archive, file, special
from tests.hostile.bare import unpack
from tests.hostile.case import FILLS, REFUSES, TAKES, Case, Place

MIB = 1 << 20
LETTERS = b"A" * MIB


def zstd(data: bytes) -> bytes:
    from backports.zstd import compress

    return compress(data)


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


# -- bombs ------------------------------------------------------------------------------------------------


def repeated(name: str, pack: Callable[[bytes], bytes]) -> Callable[[Place], Path]:
    """96 MiB of one letter, in streams that follow one another: all three take these for one."""

    def make(place: Place) -> Path:
        path = place.here / name
        path.write_bytes(pack(LETTERS) * 96)
        return path

    return make


def twice(place: Place) -> Path:
    """What unpacks to what unpacks to 96 MiB of one letter."""
    path = repeated("disk.raw.gz", gzip.compress)(place)
    return _written(path, gzip.compress(path.read_bytes()))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def member_bomb(place: Place) -> Path:
    """A member of an OVA, a disk of 1 MiB by its descriptor, that unpacks to 128 MiB of zeros."""
    text = appliances.ovf([{"file": "disk.vmdk.gz", "compression": "gzip", "capacity": 1}])
    packed = gzip.compress(bytes(MIB)) * 128
    return archive(file("a.ovf", text), file("disk.vmdk.gz", packed), name="disk.ova")(place)


def hungry_xz(place: Place) -> Path:
    """A block that asks for a dictionary of 4 GiB."""
    content = bytearray(xz(b"x" * 512))
    header = 12
    size = (content[header] + 1) * 4
    assert content[header + 2] == 0x21, "LZMA2 is the only filter"
    content[header + 4] = 40
    content[header + size - 4 : header + size] = zlib.crc32(content[header : header + size - 4]).to_bytes(4, "little")
    return _written(place.here / "disk.raw.xz", bytes(content))


def hungry_zstd(place: Place) -> Path:
    """A frame that asks for a window of 2 GiB, and one block of 512 bytes as they are."""
    block = (512 << 3 | 1).to_bytes(3, "little") + b"x" * 512
    return _written(place.here / "disk.raw.zst", b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + block)


def streamed(source: Path, scratch: Path) -> str:
    """The library's own reader, to the end, with 64 MiB for what comes out."""
    done = 0
    try:
        for piece in _pieces(source):
            done += len(piece)
            if done > 64 * MIB:
                return FILLS
    except (OSError, EOFError, lzma.LZMAError, ValueError, MemoryError):
        return REFUSES
    return TAKES


def _pieces(source: Path) -> Iterator[bytes]:
    from backports import zstd as library

    opened = {".gz": gzip.open, ".xz": lzma.open, ".zst": library.open}[source.suffix]
    try:
        with opened(source) as reading:
            while piece := reading.read(MIB):
                yield piece
    except library.ZstdError as error:
        raise ValueError(str(error)) from error


def member_streamed(source: Path, scratch: Path) -> str:
    with tarfile.open(source) as opened:
        content = opened.extractfile("disk.vmdk.gz")
        assert content is not None
        (scratch / "disk.gz").write_bytes(content.read())
    return streamed(scratch / "disk.gz", scratch)


# -- headers ------------------------------------------------------------------------------------------------


def member(name: str, content: bytes = b"x" * 512, **pax: str) -> Callable[[Place], Path]:
    """One member; ``pax`` are records of its extended header, with ``__`` for a dot."""

    def make(place: Place) -> Path:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        info.pax_headers = {key.replace("__", "."): value for key, value in pax.items()}
        path = place.here / "disk.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
            made.addfile(info, io.BytesIO(content))
        return path

    return make


def patched(offset: int, data: bytes, name: str = "disk.raw") -> Callable[[Place], Path]:
    """One member in whose header some bytes are others; its sum is right."""

    def make(place: Place) -> Path:
        path = archive(file(name), name="disk.tar")(place)
        content = bytearray(path.read_bytes())
        content[offset : offset + len(data)] = data
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
        return _written(path, bytes(content))

    return make


def many_members(place: Place) -> Path:
    return archive(*[file(f"{number}.txt", b"") for number in range(1500)], file("disk.raw"), name="disk.tar")(place)


def pax_sparse(real_size: int, *numbers: object, content: bytes = b"x" * 512) -> Callable[[Place], Path]:
    """A member with its holes left out by these numbers: how many pieces, offset and length of each."""
    lines = "".join(f"{number}\n" for number in numbers).encode()
    sizes = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0", "GNU__sparse__realsize": str(real_size)}
    blocks = lines.ljust(-(-len(lines) // 512) * 512, b"\0")
    return member("disk.raw", blocks + content, GNU__sparse__name="disk.raw", **sizes)


def gnu_sparse(place: Place) -> Path:
    """The old form, with a number that is none in its map."""
    fields = b"1".rjust(11, b"0") + b"\0" + b"zz".rjust(11, b"0") + b"\0"
    return patched(156, b"S")(place) and _with(place.here / "disk.tar", 386, fields)


def _with(path: Path, offset: int, data: bytes) -> Path:
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    return _written(path, bytes(content))


def own_hard_link(place: Place) -> Path:
    return archive(special("disk.raw", tarfile.LNKTYPE, lambda _: "disk.raw"), name="disk.tar")(place)


def global_size(place: Place) -> Path:
    path = place.here / "disk.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"size": "1"}) as made:
        info = tarfile.TarInfo("disk.raw")
        info.size = 512
        made.addfile(info, io.BytesIO(b"x" * 512))
    return path


def _bare_unpack(source: Path, scratch: Path) -> str:
    try:
        return unpack(source, scratch)
    except (ValueError, KeyError, RecursionError):  # tarfile's own ways to refuse
        return REFUSES


_LIMIT, _BAD, _CUT, _OUT = "image-limits", "image-invalid", "image-truncated", "source-outside"


def _tar(name: str, make: Callable[[Place], Path], code: str, does: str = TAKES, why: str = "") -> Case:
    return Case(name, "ami", make, code, _bare_unpack, does, why)


CASES = (
    Case("one letter in gzip", "ami", repeated("disk.raw.gz", gzip.compress), _LIMIT, streamed, FILLS),
    Case("one letter in xz", "ami", repeated("disk.raw.xz", xz), _LIMIT, streamed, FILLS),
    Case("one letter in zstd", "ami", repeated("disk.raw.zst", zstd), _LIMIT, streamed, FILLS),
    Case("packed twice", "ami", twice, "source-type-mismatch", streamed, TAKES),
    Case("a packed member that is more than its disk", "ova", member_bomb, _LIMIT, member_streamed, FILLS),
    Case("xz that wants 4 GiB of memory", "ami", hungry_xz, _LIMIT, streamed, TAKES),
    Case("zstd that wants 2 GiB of memory", "ami", hungry_zstd, _LIMIT, streamed, REFUSES, "the library has the limit"),
    _tar("a pax size below zero", member("disk.raw", size="-512"), _BAD, REFUSES, "Python finds no next header"),
    _tar("a pax size that is a fraction", member("disk.raw", size="1e3"), _BAD),
    _tar("a pax size of forty digits", member("disk.raw", size="9" * 40), _BAD, REFUSES, "Python counts"),
    _tar("a pax size beyond the end", member("disk.raw", size=str(1 << 50)), _CUT, REFUSES, "Python counts"),
    _tar("a pax name with a way up", member("disk.raw", path="../escaped"), _OUT),
    _tar(
        "a pax name with a NUL",
        member("disk.raw", path="disk.raw\0../escaped"),
        "source-outside",
        REFUSES,
        "no name has one",
    ),
    _tar("a size for all members", global_size, _BAD),
    _tar("a size below zero", patched(124, b"\xff" * 12), _BAD, REFUSES, "Python finds no next header"),
    _tar("a size that is no number", patched(124, b"12345678zz0\0"), _BAD, REFUSES, "it is read as one"),
    _tar(
        "a name of megabytes",
        member("disk.raw", path="a/" * MIB + "disk.raw"),
        _LIMIT,
        REFUSES,
        "Python cannot nest so deep",
    ),
    _tar("fifteen hundred members", many_members, _LIMIT),
    _tar("a hard link to itself", own_hard_link, "source-not-regular", REFUSES, "there is nothing to link to"),
    _tar("a block device", archive(special("disk.raw", tarfile.BLKTYPE), name="disk.tar"), "source-not-regular"),
    _tar(
        "a map of holes in a pebibyte",
        pax_sparse(1 << 50, 1, 0, 512),
        _LIMIT,
        REFUSES,
        "no file is so large",
    ),
    Case(
        "a device in an appliance",
        "ova",
        archive(file("a.ovf", OVF), special("disk.vmdk", tarfile.CHRTYPE), name="disk.ova"),
        "source-not-regular",
        _bare_unpack,
        TAKES,
    ),
    _tar("a map of holes out of order", pax_sparse(2048, 2, 1024, 256, 0, 256), _BAD),
    _tar("a map of holes with more than there is", pax_sparse(2048, 1, 0, 1024), _BAD),
    _tar("a map of a million million holes", pax_sparse(2048, 10**12), _LIMIT, REFUSES, "Python reads to the end"),
    _tar("a map of holes without numbers", pax_sparse(2048, 1, "x", "y"), _BAD, REFUSES, "Python refuses"),
    _tar("an old map of holes without numbers", gnu_sparse, _BAD, REFUSES, "Python refuses"),
)
