"""VHD images, good ones and every kind of bad one."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.host import image_file
from hypersdkd.host.image_file import opened
from hypersdkd.host.image_vhd import Vhd, read
from tests import images, vhds
from tests.problems import raises_problem

ODD = 5 * images.MIB + 3 * 512


def look(path: Path) -> Vhd:
    with opened(path) as image:
        return read(image)


@pytest.fixture
def dynamic(tmp_path: Path) -> Path:
    return images.make(tmp_path / "disk.vhd", "subformat=dynamic", form="vpc")


def signed(path: Path, offset: int, data: bytes, at: int = 0, length: int = 512, checksum: int = 64) -> Path:
    """Change a field and the checksum with it; of a footer at its other place too."""
    raw = bytearray(path.read_bytes())
    part = raw[at : at + length]
    part[offset : offset + len(data)] = data
    part[checksum : checksum + 4] = bytes(4)
    part[checksum : checksum + 4] = struct.pack(">I", ~sum(part) & 0xFFFFFFFF)
    raw[at : at + length] = part
    if at == 0 and raw[-512:].startswith(b"conectix"):
        raw[-512:] = part
    path.write_bytes(raw)
    return path


def header(path: Path, offset: int, data: bytes) -> Path:
    return signed(path, offset, data, 512, 1024, 36)


@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
@pytest.mark.parametrize("size", [16 * images.MIB, 16 * images.MIB + 3 * 512])
@pytest.mark.parametrize("exact", ["on", "off"])
def test_good(tmp_path: Path, kind: str, size: int, exact: str) -> None:
    options = (f"subformat={kind}", f"force_size={exact}")
    vhd = look(images.make(tmp_path / "disk.vhd", *options, size=size, form="vpc"))
    found = vhd.facts
    assert (found.format, found.variant, found.warnings, vhd.parent) == ("vhd", kind, (), None)
    assert found.virtual_size == size if exact == "on" else found.virtual_size >= size


def test_the_size_is_not_that_of_the_geometry(tmp_path: Path) -> None:
    """Virtual PC and qemu, left to itself, go by the geometry for creators they do not know, such as VirtualBox."""
    path = vhds.fixed(tmp_path / "disk.vhd", bytes(ODD), creator=b"vbox")
    assert look(path).facts.virtual_size == ODD
    assert f"({68 * 512} bytes)" in images.qemu_img("info", "-f", "vpc", path).stdout


def test_a_child(tmp_path: Path) -> None:
    path = vhds.sparse(tmp_path / "a.avhd", ODD, {512: b"x" * 512}, parent=("C:\\vm\\base.vhd", b"b" * 16), stamp=5)
    vhd = look(path)
    assert vhd.parent is not None
    assert (vhd.facts.variant, vhd.parent.names) == ("differencing", ("base.vhd",))
    assert vhd.parent.ids == {b"b" * 16}
    assert vhd.parent_time == 946_684_805
    assert [number for number, _ in vhd.stored()] == [0]


def test_where_a_parent_was(tmp_path: Path) -> None:
    locators = {
        b"W2ru": "..\\one\\a.vhd".encode("utf-16-le"),
        b"W2ku": "D:\\x\\..".encode("utf-16-le"),
        b"MacX": b"file:///srv/sr/b%20c.vhd\0",
        b"Wi2k": b"?",
    }
    path = vhds.sparse(tmp_path / "a.avhd", ODD, {}, parent=("C:\\vm\\d.vhd", b"b" * 16), locators=locators)
    parent = look(path).parent
    assert parent is not None
    assert parent.names == ("a.vhd", "b c.vhd", "d.vhd")


@pytest.mark.parametrize("keep", [0.00001, 0.001, 0.002, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["dynamic", "fixed"])
def test_cut(tmp_path: Path, kind: str, keep: float) -> None:
    path = images.make(tmp_path / "disk.vhd", f"subformat={kind}", form="vpc")
    with raises_problem("image-truncated"):
        look(images.cut(path, int(path.stat().st_size * keep)))


def test_an_old_footer(dynamic: Path) -> None:
    images.cut(dynamic, dynamic.stat().st_size - 1)
    assert look(dynamic).facts.virtual_size >= 16 * images.MIB


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "disk.vhd").touch()
    with raises_problem("image-empty"):
        look(tmp_path / "disk.vhd")


def test_a_fixed_disk_whose_content_is_short(tmp_path: Path) -> None:
    """The footer alone is no sign: qemu makes zeros of what is missing, or takes the footer for content."""
    path = tmp_path / "disk.vhd"
    path.write_bytes(bytes(images.MIB) + vhds.footer(vhds.FIXED, ODD, b"f" * 16))
    images.qemu_img("convert", "-f", "vpc", "-O", "raw", path, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size == ODD
    with raises_problem("image-truncated"):
        look(path)
    path.write_bytes(bytes(ODD + 512) + vhds.footer(vhds.FIXED, ODD, b"f" * 16))
    assert [warning.code for warning in look(path).facts.warnings] == ["image-unclean"]


def test_a_suspended_machine(dynamic: Path) -> None:
    assert [warning.code for warning in look(signed(dynamic, 84, b"\1")).facts.warnings] == ["image-unclean"]


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (12, struct.pack(">I", 0x20000), "image-unsupported"),
        (16, struct.pack(">Q", 1 << 40), "image-truncated"),
        (16, struct.pack(">Q", 0), "image-invalid"),
        (48, struct.pack(">Q", 0), "image-invalid"),
        (48, struct.pack(">Q", 513), "image-invalid"),
        (48, struct.pack(">Q", 1 << 62), "image-limits"),
        (48, struct.pack(">Q", 1 << 40), "image-invalid"),
        (60, struct.pack(">I", 2), "image-invalid"),
        (60, struct.pack(">I", 5), "image-unsupported"),
    ],
)
def test_bad_footers(dynamic: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(signed(dynamic, offset, data))


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0, b"xxxxxxxx", "image-invalid"),
        (16, struct.pack(">Q", 1 << 40), "image-truncated"),
        (24, struct.pack(">I", 0x20000), "image-invalid"),
        (28, struct.pack(">I", 1), "image-invalid"),
        (28, b"\xff\xff\xff\xff", "image-limits"),
        (32, struct.pack(">I", 0), "image-limits"),
        (32, struct.pack(">I", 2048), "image-limits"),
        (32, struct.pack(">I", 3 << 20), "image-limits"),
        (32, struct.pack(">I", 1 << 29), "image-limits"),
    ],
)
def test_bad_headers(dynamic: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(header(dynamic, offset, data))


@pytest.mark.parametrize(("entry", "code"), [(0, "image-invalid"), (1 << 20, "image-truncated")])
def test_bad_blocks(dynamic: Path, entry: int, code: str) -> None:
    with raises_problem(code):
        look(images.patch(dynamic, 1536, struct.pack(">I", entry)))


def test_two_blocks_in_one_place(dynamic: Path) -> None:
    first = dynamic.read_bytes()[1536:1540]
    with raises_problem("image-invalid"):
        look(images.patch(dynamic, 1536 + 4 * 7, first))


def test_checksums(dynamic: Path) -> None:
    whole = dynamic.read_bytes()
    for place in (30, 600, len(whole) - 480):
        dynamic.write_bytes(whole)
        with raises_problem("image-invalid", "checksum"):
            look(images.patch(dynamic, place, b"\xaa"))


def test_start_and_end_disagree(dynamic: Path) -> None:
    whole = dynamic.read_bytes()
    signed(dynamic, 68, b"another id".ljust(16))
    dynamic.write_bytes(dynamic.read_bytes()[:512] + whole[512:])
    with raises_problem("image-invalid", "different things"):
        look(dynamic)


def test_a_fixed_footer_of_another_type(tmp_path: Path) -> None:
    (tmp_path / "disk.vhd").write_bytes(bytes(ODD) + vhds.footer(vhds.DYNAMIC, ODD, b"f" * 16))
    with raises_problem("image-invalid"):
        look(tmp_path / "disk.vhd")


def crowded(path: Path, entries: int) -> Path:
    """A dynamic disk with content everywhere, as its table says; in the file it is a hole."""
    path = vhds.sparse(path, entries * images.MIB, {}, block=images.MIB)
    first = 1 + 4096 // 512 + entries * 4 // 512
    images.patch(path, 4096, struct.pack(f">{entries}I", *range(first, first + 2056 * entries, 2056)))
    end = path.read_bytes()[-512:]
    return images.patch(path, (first + 2056 * entries) * 512, end)


def test_a_large_table_takes_little_memory(tmp_path: Path) -> None:
    """It is looked at in the daemon as well: 32 MiB of table took 800."""
    path = crowded(tmp_path / "disk.vhd", 200_000)
    tracemalloc.start()
    try:
        assert look(path).blocks is not None
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_large_table_is_given_up_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = crowded(tmp_path / "disk.vhd", 200_000)
    clock = itertools.count()
    monkeypatch.setattr(image_file.time, "monotonic", lambda: next(clock))
    with opened(path) as image, raises_problem("image-limits", "time"):
        read(replace(image, until=next(clock) + 10))


@pytest.mark.parametrize("more", [1, 2])
def test_content_behind_the_end(tmp_path: Path, more: int) -> None:
    """A size that was made less, with a checksum that is right: nobody reads what is behind it."""
    size = 6 * images.MIB
    path = vhds.sparse(tmp_path / "disk.vhd", size, {0: b"x" * 512, size - 512: b"y" * 512}, block=images.MIB)
    assert look(path).facts.virtual_size == size
    signed(path, 48, struct.pack(">Q", size - more * images.MIB))
    with raises_problem("image-invalid", "content behind the end"):
        look(path)


def test_a_block_within_another(tmp_path: Path) -> None:
    path = vhds.sparse(tmp_path / "disk.vhd", 8 * images.MIB, {0: b"x" * 512, 4 * images.MIB: b"y" * 512})
    table = struct.unpack(">4I", path.read_bytes()[4096:4112])
    images.patch(path, 4096, struct.pack(">I", table[2] + 8))
    with raises_problem("image-invalid", "table"):
        look(path)
