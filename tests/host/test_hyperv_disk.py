"""VHD and VHDX chains: bit by bit what Hyper-V would read, of siblings alone, each the one that belongs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hypersdkd.host import qemu_img
from hypersdkd.host.image_file import ImageFacts
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.source_disk import read_disk
from hypersdkd.host.source_graph import over_descriptors, over_paths
from tests import images, vhds, vmdks
from tests.problems import raises_problem

SIZE = 13 * images.MIB + 3 * 512
DATA = vmdks.content(SIZE)
FIRST = {512: vmdks.noise(1024, 1), 3 * images.MIB - 512: vmdks.noise(images.MIB, 2), 8 * images.MIB: bytes(4096)}
SECOND = {
    1024: vmdks.noise(512, 3),
    10 * images.MIB: vmdks.noise(images.MIB + 4096, 4),
    SIZE - 512: vmdks.noise(512, 5),
}
BASE = ("C:\\VMs\\base.vhd", b"b" * 16)
MIDDLE = ("C:\\VMs\\first.avhd", b"1" * 16)


def read(path: Path) -> tuple[ImageFacts, bytes]:
    """The disk's content, as qemu-img reads it when it is confined to the disk's files."""
    output = path.parent.parent / "out.raw"
    with OpenSource([path.parent.parent], seconds=60) as source:
        source.open(str(path))
        facts, graph = read_disk(source, "vhdx" if path.suffix in {".vhdx", ".avhdx"} else "vhd")
        source.compare_with_qemu(graph, facts)
        fd = os.open(output, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            with over_descriptors(graph, source.fds) as named:
                qemu_img.convert(named, qemu_img.Conversion("raw"), fd, timeout=60)
        finally:
            os.close(fd)
        disk = source.keep(graph, facts)
        work = path.parent.parent / "work"
        work.mkdir(exist_ok=True)
        named_by_paths = qemu_img.Source(over_paths(disk, work, "disk1"))
        with output.open("rb") as same:
            assert qemu_img.compare(named_by_paths, qemu_img.Source.of_fd(same.fileno(), "raw"), timeout=60) == ""
        disk.release()
    return facts, output.read_bytes()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the disk's files lie."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def vhd_chain(here: Path, **more: object) -> Path:
    vhds.fixed(here / "base.vhd", DATA, BASE[1])
    vhds.sparse(here / "first.avhd", SIZE, FIRST, parent=BASE, uid=MIDDLE[1], **more)  # type: ignore[arg-type]
    return vhds.sparse(here / "second.avhd", SIZE, SECOND, parent=MIDDLE, **more)  # type: ignore[arg-type]


def vhdx_chain(here: Path, **more: object) -> Path:
    vhds.vhdx(here / "base.vhdx", SIZE, {0: DATA}, data_id=vhds.BASE_ID)
    first = vhds.linkage(vhds.BASE_ID)
    vhds.vhdx(here / "first.avhdx", SIZE, FIRST, parent=first, data_id=vhds.CHILD_ID, **more)  # type: ignore[arg-type]
    second = vhds.linkage(vhds.CHILD_ID, "first.avhdx")
    return vhds.vhdx(here / "second.avhdx", SIZE, SECOND, parent=second, data_id=b"2" * 16, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [{}, {"aligned": True}, {"block": 512 << 10}, {"block": 16 << 10}])
def test_children_of_a_fixed_vhd(here: Path, more: Mapping[str, object]) -> None:
    facts, content = read(vhd_chain(here, **more))
    assert content == vmdks.applied(DATA, FIRST, SECOND)
    assert (facts.format, facts.variant, facts.virtual_size) == ("vhd", "differencing", SIZE)
    assert facts.file_size == sum(path.stat().st_size for path in here.iterdir())


def test_a_child_of_a_dynamic_vhd(here: Path) -> None:
    vhds.sparse(here / "base.vhd", SIZE, {0: DATA[: images.MIB]}, uid=BASE[1])
    top = vhds.sparse(here / "first.avhd", SIZE, FIRST, parent=BASE)
    assert read(top)[1] == vmdks.applied(bytes(SIZE), {0: DATA[: images.MIB]}, FIRST)


def test_bare_qemu_gives_rubbish_for_a_child(here: Path) -> None:
    """It exits with 0, and knows nothing of the parent, nor of a block's bitmap."""
    top = vhd_chain(here)
    images.qemu_img("convert", "-f", "vpc", "-O", "raw", top, here.parent / "bare.raw")
    bare = (here.parent / "bare.raw").read_bytes()
    assert b"rubbish!" in bare
    assert bare[:512] != DATA[:512]


@pytest.mark.parametrize("block", [1, 8])
def test_children_in_vhdx(here: Path, block: int) -> None:
    facts, content = read(vhdx_chain(here, block=block * images.MIB))
    assert content == vmdks.applied(DATA, FIRST, SECOND)
    assert (facts.format, facts.variant, facts.virtual_size) == ("vhdx", "differencing", SIZE)


def test_blocks_that_were_given_back(here: Path) -> None:
    """Trimmed and zeroed ones hide what the parent has; what was never written does not."""
    vhdx_chain(here, states={5: 3, 6: 2, 7: 1, 9: 0})
    expected = vmdks.applied(DATA, {number * images.MIB: bytes(images.MIB) for number in (5, 6, 7)}, FIRST)
    assert read(here / "first.avhdx")[1] == expected


def test_sectors_of_4_kib(here: Path) -> None:
    """qemu reads none of those."""
    size = 9 * images.MIB + 4096
    data = vmdks.content(size)
    vhds.vhdx(here / "base.vhdx", size, {0: data}, data_id=vhds.BASE_ID, sector=4096)
    facts, content = read(here / "base.vhdx")
    assert content == data
    assert [warning.code for warning in facts.warnings] == ["image-unclean"]
    writes = {4096: vmdks.noise(8192, 1), 3 * images.MIB: vmdks.noise(images.MIB, 2)}
    top = vhds.vhdx(here / "a.avhdx", size, writes, parent=vhds.linkage(vhds.BASE_ID), sector=4096)
    assert read(top)[1] == vmdks.applied(data, writes)


def test_a_child_that_was_made_larger(here: Path) -> None:
    vhds.vhdx(here / "base.vhdx", SIZE, {0: DATA}, data_id=vhds.BASE_ID)
    top = vhds.vhdx(here / "a.avhdx", SIZE + 5 * images.MIB, FIRST, parent=vhds.linkage(vhds.BASE_ID))
    assert read(top)[1] == vmdks.applied(DATA + bytes(5 * images.MIB), FIRST)
    smaller = vhds.vhdx(here / "b.avhdx", SIZE - 512, FIRST, parent=vhds.linkage(vhds.BASE_ID))
    with raises_problem("image-parent-mismatch", "bytes"):
        read(smaller)


def test_a_chunk_after_the_first(here: Path) -> None:
    """A bitmap has bits for 4 GiB, and the table an entry after those."""
    size = 5 << 30
    writes = {(4 << 30) + 8192: vmdks.noise(4096, 1), 512: vmdks.noise(512, 2)}
    vhds.vhdx(here / "base.vhdx", size, {}, data_id=vhds.BASE_ID)
    top = vhds.vhdx(here / "a.avhdx", size, writes, parent=vhds.linkage(vhds.BASE_ID))
    output = here.parent / "out.raw"
    with OpenSource([here], seconds=60) as source:
        source.open(str(top))
        _facts, graph = read_disk(source, "vhdx")
        with over_descriptors(graph, source.fds) as named, output.open("w+b") as file:
            qemu_img.convert(named, qemu_img.Conversion("raw"), file.fileno(), timeout=60)
    with output.open("rb") as file:
        for offset, piece in writes.items():
            file.seek(offset - 512 if offset > 512 else 0)
            assert file.read(len(piece) + 1024) == bytes(512) + piece + bytes(512)
    assert output.stat().st_blocks * 512 < images.MIB


@pytest.mark.parametrize(("make", "name"), [(vhd_chain, "first.avhd"), (vhdx_chain, "first.avhdx")])
def test_a_missing_parent(here: Path, make: Callable[[Path], Path], name: str) -> None:
    top = make(here)
    (here / name).unlink()
    with raises_problem("source-incomplete", name):
        read(top)


@pytest.mark.parametrize(("make", "name"), [(vhd_chain, "first.avhd"), (vhdx_chain, "first.avhdx")])
def test_a_parent_that_is_a_link_or_somewhere_else(here: Path, make: Callable[[Path], Path], name: str) -> None:
    top = make(here)
    (here / name).rename(here.parent / name)
    (here / name).symlink_to(here.parent / name)
    with raises_problem("source-not-regular"):
        read(top)


def test_another_parent(here: Path) -> None:
    top = vhd_chain(here)
    vhds.sparse(here / "first.avhd", SIZE, FIRST, parent=BASE, uid=b"x" * 16)
    with raises_problem("image-parent-mismatch", "id"):
        read(top)
    vhds.sparse(here / "first.avhd", SIZE + 512, FIRST, parent=BASE, uid=MIDDLE[1])
    with raises_problem("image-parent-mismatch", "bytes"):
        read(top)
    vhds.vhdx(here / "first.avhd", SIZE, FIRST)
    with raises_problem("source-type-mismatch"):
        read(top)


def test_a_parent_that_was_written_to(here: Path) -> None:
    top = vhdx_chain(here)
    vhds.vhdx(here / "first.avhdx", SIZE, FIRST, parent=vhds.linkage(vhds.BASE_ID), data_id=b"x" * 16)
    with raises_problem("image-parent-mismatch"):
        read(top)


def test_a_parent_by_its_second_linkage(here: Path) -> None:
    vhds.vhdx(here / "base.vhdx", SIZE, {0: DATA}, data_id=vhds.BASE_ID)
    both = vhds.linkage(vhds.CHILD_ID) | {"parent_linkage2": vhds.linkage(vhds.BASE_ID)["parent_linkage"]}
    assert read(vhds.vhdx(here / "a.avhdx", SIZE, FIRST, parent=both))[1] == vmdks.applied(DATA, FIRST)


def test_the_time_of_a_parent_is_only_a_hint(here: Path) -> None:
    base = vhds.fixed(here / "base.vhd", DATA, BASE[1])
    os.utime(base, (1_000_000_000, 1_000_000_000))
    for stamp, codes in ((1_000_000_000 - 946_684_800, []), (0, []), (5, ["image-unclean"])):
        top = vhds.sparse(here / "a.avhd", SIZE, FIRST, parent=BASE, stamp=stamp)
        assert [warning.code for warning in read(top)[0].warnings] == codes


def test_a_chain_that_bites_its_tail(here: Path) -> None:
    path = vhds.sparse(here / "base.vhd", SIZE, FIRST, parent=BASE, uid=BASE[1])
    with raises_problem("image-invalid", "one of its own"):
        read(path)


def test_a_chain_without_an_end(here: Path) -> None:
    for number in range(66):
        above = (f"C:\\{number + 1}.vhd", bytes([number + 1]) * 16)
        vhds.sparse(here / f"{number}.vhd", 4096, {}, parent=above, uid=bytes([number]) * 16)
    with raises_problem("image-limits", "64"):
        read(here / "0.vhd")


def test_a_child_that_names_no_parent(here: Path) -> None:
    with raises_problem("source-incomplete", "does not name"):
        read(vhds.sparse(here / "a.avhd", SIZE, {}, parent=("C:\\", b"b" * 16), locators={}))


def test_blocks_that_are_less_than_a_cluster(here: Path) -> None:
    vhds.fixed(here / "base.vhd", DATA, BASE[1])
    top = vhds.sparse(here / "a.avhd", SIZE, FIRST, parent=BASE, block=4096)
    with raises_problem("image-unsupported", "blocks of 4096"):
        read(top)
