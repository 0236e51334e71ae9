"""VMDKs of several files: whole, of siblings alone, each link the one that belongs; or refused."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host import qemu_img
from hypersdkd.host.image_file import ImageFacts, opened
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.source_graph import over_descriptors
from hypersdkd.host.vmdk_disk import read_descriptor, read_disk
from hypersdkd.model.problem import ProblemError
from tests import images, vmdks
from tests.problems import raises_problem
from tests.sources.vmdk import large

SECTOR = images.SECTOR
ODD = vmdks.ODD
DATA = vmdks.content()
FIRST = {4096: vmdks.noise(8192, 1), 2 * images.MIB: bytes(4096)}
SECOND = {8192: vmdks.noise(4096, 2), ODD // 4096 * 4096 - 4096: vmdks.noise(4096, 3)}


def judged(path: Path) -> ImageFacts:
    """What is found out about the disk, without its content."""
    with OpenSource([path.parent.parent], seconds=60) as source:
        source.open(str(path))
        facts, graph = read_disk(source)
        source.compare_with_qemu(graph, facts)
        source.keep(graph, facts).release()
    return facts


def read(path: Path) -> bytes:
    """The disk's content, as qemu-img reads it when it is confined to the disk's files."""
    output = path.parent.parent / "out.raw"
    with OpenSource([path.parent.parent], seconds=60) as source:
        source.open(str(path))
        facts, graph = read_disk(source)
        source.compare_with_qemu(graph, facts)
        fd = os.open(output, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            with over_descriptors(graph, source.fds) as named:
                qemu_img.convert(named, qemu_img.Conversion("raw"), fd, timeout=60)
        finally:
            os.close(fd)
        source.keep(graph, facts).release()
    return output.read_bytes()


@pytest.mark.parametrize("digits", range(1, 9))
def test_what_qemu_leaves_of_a_longer_content_id(tmp_path: Path, digits: int) -> None:
    """One in 256 of its descriptors has the end of the former text behind a NUL."""
    before = vmdks.text("vmfs", 'RW 8 VMFS "a-flat.vmdk"').replace(b"CID=00001234", b"CID=12345678")
    after = before.replace(b"CID=12345678", b"CID=" + b"a" * digits) + b"\0"
    path = tmp_path / "a.vmdk"
    path.write_bytes((after + before[len(after) :]).ljust(1024, b"\0"))
    with opened(path) as image:
        assert read_descriptor(image).content_id == int("a" * digits, 16)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Where the disk's files lie."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.mark.parametrize(
    "kind",
    ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"],
)
def test_each_variant_of_qemu(here: Path, kind: str) -> None:
    path = vmdks.made_by_qemu(here, kind)
    assert judged(path) == ImageFacts("vmdk", kind, ODD, sum(file.stat().st_size for file in here.iterdir()))
    assert read(path) == DATA


def test_esxi_flat(here: Path) -> None:
    path = vmdks.esx_flat(here, "web01", DATA, more='ddb.thinProvisioned = "1"')
    assert read(path) == DATA
    assert judged(path).variant == "vmfs"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").ljust(4096, b"\0"))
    assert read(path) == DATA


def test_extents_of_every_kind_one_after_the_other(here: Path) -> None:
    """qemu passes over what is not called RW, and over ZERO: what follows would move."""
    (here / "a.vmdk").write_bytes(b"head".ljust(SECTOR) + DATA[: images.MIB] + b"tail")
    vmdks.cowd(here / "b.vmdk", images.MIB, {0: DATA[2 * images.MIB : 3 * images.MIB]})
    vmdks.sesparse(here / "c.vmdk", images.MIB, {0: DATA[3 * images.MIB : 4 * images.MIB]})
    vmdks.made_by_qemu(here, "monolithicSparse", DATA[4 * images.MIB :], "d.vmdk")
    lines = (
        'RDONLY 2048 FLAT "a.vmdk" 1',
        "RW 2048 ZERO",
        'RW 2048 VMFSSPARSE "b.vmdk"',
        'RW 2048 SESPARSE "c.vmdk"',
        'RW 1 FLAT "a.vmdk" 1',
        'RW 2051 SPARSE "d.vmdk"',
    )
    (here / "disk.vmdk").write_bytes(vmdks.text("custom", *lines))
    parts = [DATA[: images.MIB], bytes(images.MIB), DATA[2 * images.MIB : 4 * images.MIB], DATA[:SECTOR]]
    expected = b"".join(parts) + DATA[4 * images.MIB :]
    assert read(here / "disk.vmdk") == expected


def test_a_flat_extent_holds_whatever_it_holds(here: Path, tmp_path: Path) -> None:
    """Its content is a disk's: were it taken for an image, it would name a file."""
    (tmp_path / "secret").write_bytes(b"secret".ljust(65536))
    lure = images.descriptor("monolithicFlat", f'RW 128 FLAT "{tmp_path}/secret" 0').ljust(65536, b"\0")
    assert read(vmdks.esx_flat(here, "disk", lure)) == lure
    images.qemu_img("create", "-f", "qcow2", "-b", tmp_path / "secret", "-F", "raw", here / "lure")
    lure = (here / "lure").read_bytes()
    lure = lure.ljust(-(-len(lure) // 512) * 512, b"\0")
    assert read(vmdks.esx_flat(here, "disk", lure)) == lure


@pytest.mark.parametrize("kind", ["vmfsSparse", "seSparse"])
def test_esxi_snapshots(here: Path, kind: str) -> None:
    vmdks.esx_flat(here, "web01", DATA, cid=1)
    vmdks.esx_delta(here, "web01-000001", "web01.vmdk", ODD, FIRST, kind)
    top = vmdks.esx_delta(here, "web01-000002", "web01-000001.vmdk", ODD, SECOND, kind, cid=3)
    assert read(top) == vmdks.applied(DATA, FIRST, SECOND)
    assert judged(top).variant == kind
    assert read(here / "web01-000001.vmdk") == vmdks.applied(DATA, FIRST)
    assert read(here / "web01.vmdk") == DATA


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized", "twoGbMaxExtentSparse", "monolithicFlat"])
def test_hosted_snapshots(here: Path, kind: str) -> None:
    base = vmdks.made_by_qemu(here, kind, name="web01.vmdk")
    first = vmdks.hosted_snapshot(here / "web01-000001.vmdk", base, FIRST)
    top = vmdks.hosted_snapshot(here / "web01-000002.vmdk", first, SECOND)
    assert read(top) == vmdks.applied(DATA, FIRST, SECOND)
    assert judged(top).file_size == sum(file.stat().st_size for file in here.iterdir())


def test_a_snapshot_of_a_disk_with_a_footer(here: Path) -> None:
    base = images.footered_vmdk(here / "web01.vmdk")
    origin = (here / "web01.vmdk.origin").read_bytes()
    assert read(vmdks.hosted_snapshot(here / "web01-000001.vmdk", base, FIRST)) == vmdks.applied(origin, FIRST)


def test_a_hosted_snapshot_in_split_files(here: Path) -> None:
    vmdks.esx_flat(here, "web01", DATA, cid=1)
    delta = vmdks.made_by_qemu(here, "monolithicSparse", bytes(65536) + DATA[65536:], "delta-s001.vmdk")
    sectors = ODD // SECTOR
    line = f'RW {sectors} SPARSE "{delta.name}"'
    top = here / "delta.vmdk"
    top.write_bytes(vmdks.text("twoGbMaxExtentSparse", line, cid=2, parent=1, hint="web01.vmdk"))
    assert read(top) == DATA


@pytest.mark.parametrize("hint", ["/vmfs/volumes/5f-3/web01/web01.vmdk", "D:\\VMs\\web01\\web01.vmdk"])
def test_a_parent_that_was_elsewhere_is_taken_from_beside_it(here: Path, hint: str) -> None:
    vmdks.esx_flat(here, "web01", DATA, cid=1)
    assert read(vmdks.esx_delta(here, "web01-000001", hint, ODD, FIRST)) == vmdks.applied(DATA, FIRST)


def test_a_name_in_the_encoding_of_windows(here: Path) -> None:
    (here / "Büro.vmdk").write_bytes(DATA)
    line = f'RW {ODD // SECTOR} FLAT "Büro.vmdk" 0'
    told = vmdks.text("monolithicFlat", line).replace(b"UTF-8", b"windows-1252").decode().encode("cp1252")
    (here / "disk.vmdk").write_bytes(told)
    assert read(here / "disk.vmdk") == DATA


def test_more_in_a_file_than_its_descriptor_says(here: Path) -> None:
    path = vmdks.esx_flat(here, "web01", DATA)
    with (here / "web01-flat.vmdk").open("ab") as file:
        file.write(bytes(SECTOR))
    assert [warning.code for warning in judged(path).warnings] == ["image-unclean"]
    assert read(path) == DATA


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized", "twoGbMaxExtentSparse"])
def test_a_header_made_up_to_whole_grains(here: Path, kind: str) -> None:
    path, whole = vmdks.made_up(here, kind, DATA)
    assert [warning.code for warning in judged(path).warnings] == ["image-unclean"]
    assert read(path) == whole
    top = vmdks.hosted_snapshot(here / "top.vmdk", path, FIRST)
    assert read(top) == vmdks.applied(whole, FIRST)


@pytest.mark.parametrize("kind", ["monolithicSparse", "twoGbMaxExtentSparse"])
def test_a_disk_that_was_copied_while_it_was_in_use(here: Path, kind: str) -> None:
    path = vmdks.made_by_qemu(here, kind)
    extent = here / ("disk-s001.vmdk" if kind == "twoGbMaxExtentSparse" else "disk.vmdk")
    images.patch(extent, 72, b"\1")
    assert [warning.code for warning in judged(path).warnings] == ["image-unclean"]
    top = vmdks.hosted_snapshot(here / "top.vmdk", path, {})
    images.patch(top, 72, b"\1")
    assert [warning.message.split()[0] for warning in judged(top).warnings] == ["top.vmdk", extent.name]


@pytest.mark.parametrize("emptied", [False, True])
def test_a_part_of_a_split_disk_is_told_what_it_is(here: Path, emptied: bool) -> None:
    """qemu-img leaves room for a descriptor in it, VMware none."""
    vmdks.made_by_qemu(here, "twoGbMaxExtentSparse")
    part = here / "disk-s001.vmdk"
    if emptied:
        images.patch(part, 28, bytes(16))
    with raises_problem("image-unsupported", "one part of a split disk") as caught:
        judged(part)
    assert "Name the small text file" in caught[0].remedy


def test_measuring_has_addresses_for_all_threads_of_qemu(here: Path) -> None:
    """Without a bound to glibc's arenas one run in five of these was ended by the limit."""
    path = large("twoGbMaxExtentSparse")(here).path
    with OpenSource([here], seconds=60) as source:
        source.open(str(path))
        _, graph = read_disk(source)
        with over_descriptors(graph, source.fds) as named:
            assert all(qemu_img.measure(named, "qcow2") for _ in range(40))


def test_companions_are_told_without_opening_them(here: Path) -> None:
    vmdks.esx_delta(here, "web01-000001", "web01.vmdk", ODD, FIRST)
    with opened(here / "web01-000001.vmdk") as image:
        assert read_descriptor(image).siblings == ("web01-000001-delta.vmdk", "web01.vmdk")
    with opened(vmdks.made_by_qemu(here, "monolithicSparse")) as image:
        assert read_descriptor(image).siblings == ("disk.vmdk",)
    with opened(here / "web01-000001-delta.vmdk") as image, raises_problem("image-unsupported", "without a descriptor"):
        read_descriptor(image)
    (here / "big.vmdk").write_bytes(vmdks.text("vmfs") + b"#" * images.MIB)
    with opened(here / "big.vmdk") as image, raises_problem("image-limits"):
        read_descriptor(image)


# -- refused ------------------------------------------------------------------------------------------


def flat(line: str = "", **fields: object) -> Callable[[Path], Path]:
    """An ESXi disk with another extent's line, or another text."""

    def make(here: Path) -> Path:
        path = vmdks.esx_flat(here, "web01", DATA, **fields)
        if line:
            path.write_bytes(vmdks.text("vmfs", line, **fields))  # type: ignore[arg-type]
        return path

    return make


def changed(make: Callable[[Path], Path], change: Callable[[Path], object]) -> Callable[[Path], Path]:
    """The disk, and then something is done to its directory."""

    def both(here: Path) -> Path:
        path = make(here)
        change(here)
        return path

    return both


def chain(here: Path, kind: str = "vmfsSparse") -> Path:
    vmdks.esx_flat(here, "web01", DATA, cid=1)
    return vmdks.esx_delta(here, "web01-000001", "web01.vmdk", ODD, FIRST, kind)


def split(here: Path) -> Path:
    return vmdks.made_by_qemu(here, "twoGbMaxExtentSparse")


def hosted(here: Path) -> Path:
    return vmdks.hosted_snapshot(here / "top.vmdk", vmdks.made_by_qemu(here, "monolithicSparse"), FIRST)


def shorter(name: str, by: int = 1) -> Callable[[Path], object]:
    return lambda here: images.cut(here / name, (here / name).stat().st_size - by)


def edited(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
    def edit(here: Path) -> None:
        before = (here / name).read_bytes()
        assert old in before
        (here / name).write_bytes(before.replace(old, new))

    return edit


def number(name: str, offset: int, form: str, value: int) -> Callable[[Path], object]:
    return lambda here: images.patch(here / name, offset, struct.pack(form, value))


SEC = ODD // SECTOR
MISSING, MISMATCH = "source-incomplete", "image-parent-mismatch"
BAD: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "extent of the host": (flat(f'RW {SEC} VMFS "/etc/passwd"'), "source-outside", "passwd"),
    "extent above": (flat('RW 1 VMFS "../out"'), "source-outside", "beside"),
    "extent below": (flat('RW 1 VMFS "a/b"'), "source-outside", "beside"),
    "extent is a link": (
        changed(flat('RW 1 VMFS "link"'), lambda here: (here / "link").symlink_to("/etc/passwd")),
        "source-not-regular",
        "link",
    ),
    "extent is a FIFO": (
        changed(flat('RW 1 VMFS "fifo"'), lambda here: os.mkfifo(here / "fifo")),
        "source-not-regular",
        "fifo",
    ),
    "extent is itself": (flat('RW 1 VMFS "web01.vmdk"'), "image-invalid", "itself"),
    "extent is of a URL": (flat('RW 1 VMFS "nbd:localhost:10809"'), MISSING, "nbd:"),
    "extent is missing": (flat('RW 1 VMFS "gone.vmdk"'), MISSING, "extent gone.vmdk"),
    "no extents": (flat("# none"), "image-invalid", "no extents"),
    "flat extent too short": (changed(flat(), shorter("web01-flat.vmdk")), "image-truncated", "web01-flat"),
    "flat extent too short for its offset": (
        changed(flat(f'RW {SEC} FLAT "web01-flat.vmdk" 1'), lambda here: None),
        "image-truncated",
        "web01-flat",
    ),
    "flat extent empty": (changed(flat(), shorter("web01-flat.vmdk", ODD)), "image-truncated", "has 0 bytes"),
    "split extent cut": (changed(split, shorter("disk-s001.vmdk", 65536)), "image-truncated", "disk-s001"),
    "split extent cut in its tables": (
        changed(split, lambda here: images.cut(here / "disk-s001.vmdk", 4096)),
        "image-truncated",
        "grain",
    ),
    "split extent of zeros": (
        changed(split, lambda here: (here / "disk-s001.vmdk").write_bytes(bytes(65536))),
        "image-invalid",
        "disk-s001",
    ),
    "split extent of another length": (
        changed(split, edited("disk.vmdk", f"RW {SEC}".encode(), f"RW {SEC + 1}".encode())),
        "image-invalid",
        "sectors",
    ),
    "split extent whose header has less": (
        changed(split, number("disk-s001.vmdk", 12, "<Q", 4096)),
        "image-invalid",
        "its header 4096",
    ),
    "snapshot whose header has less": (
        changed(hosted, number("top.vmdk", 12, "<Q", 4096)),
        "image-invalid",
        "its header 4096",
    ),
    "split extent that hands over to a descriptor": (
        changed(split, number("disk-s001.vmdk", 12, "<Q", 0)),
        "image-invalid",
        "without any sectors",
    ),
    "parent missing": (changed(chain, lambda here: (here / "web01.vmdk").unlink()), MISSING, "parent web01.vmdk"),
    "parent's extent missing": (
        changed(chain, lambda here: (here / "web01-flat.vmdk").unlink()),
        MISSING,
        "extent web01-flat.vmdk",
    ),
    "parent not named": (
        changed(chain, edited("web01-000001.vmdk", b'parentFileNameHint="web01.vmdk"\n', b"")),
        MISSING,
        "does not name",
    ),
    "parent changed since": (
        changed(chain, edited("web01.vmdk", b"CID=00000001", b"CID=00000009")),
        MISMATCH,
        "00000001",
    ),
    "parent of another length": (
        changed(chain, edited("web01.vmdk", f"RW {SEC}".encode(), f"RW {SEC - 1}".encode())),
        MISMATCH,
        "sectors",
    ),
    "parent is no VMDK": (
        changed(chain, lambda here: (here / "web01.vmdk").write_bytes(DATA)),
        "source-type-mismatch",
        "web01.vmdk",
    ),
    "parent is a link": (
        changed(chain, lambda here: ((here / "web01.vmdk").rename(here / "x"), (here / "web01.vmdk").symlink_to("x"))),
        "source-not-regular",
        "web01.vmdk",
    ),
    "parent outside": (
        changed(chain, edited("web01-000001.vmdk", b'"web01.vmdk"', b'"/etc/passwd"')),
        MISSING,
        "parent passwd",
    ),
    "parent is its child": (
        changed(chain, edited("web01-000001.vmdk", b'"web01.vmdk"', b'"web01-000001.vmdk"')),
        "image-invalid",
        "own snapshots",
    ),
    "ring of parents": (
        changed(
            lambda here: vmdks.esx_delta(here, "a", "b.vmdk", ODD, {}),
            lambda here: vmdks.esx_delta(here, "b", "a.vmdk", ODD, {}, cid=1),
        ),
        "image-invalid",
        "own snapshots",
    ),
    "delta cut": (
        changed(chain, shorter("web01-000001-delta.vmdk")),
        "image-truncated",
        "web01-000001-delta",
    ),
    "delta cut in its tables": (
        changed(chain, lambda here: images.cut(here / "web01-000001-delta.vmdk", 5000)),
        "image-truncated",
        "grain table",
    ),
    "delta without a directory": (
        changed(chain, number("web01-000001-delta.vmdk", 20, "<I", 0)),
        "image-invalid",
        "header",
    ),
    "delta with grains of none": (
        changed(chain, number("web01-000001-delta.vmdk", 16, "<I", 0)),
        "image-invalid",
        "grains of 0",
    ),
    "delta with a huge directory": (
        changed(chain, number("web01-000001-delta.vmdk", 24, "<I", 1 << 30)),
        "image-limits",
        "grain directory",
    ),
    "seSparse cut": (
        changed(lambda here: chain(here, "seSparse"), shorter("web01-000001-sesparse.vmdk")),
        "image-truncated",
        "sesparse",
    ),
    "seSparse with a journal": (
        changed(
            lambda here: chain(here, "seSparse"),
            lambda here: vmdks.sesparse(here / "web01-000001-sesparse.vmdk", ODD, FIRST, replay=1),
        ),
        "image-unsupported",
        "journal",
    ),
    "seSparse of a later version": (
        changed(lambda here: chain(here, "seSparse"), number("web01-000001-sesparse.vmdk", 8, "<Q", 3)),
        "image-unsupported",
        "version",
    ),
    "seSparse with other grains": (
        changed(lambda here: chain(here, "seSparse"), number("web01-000001-sesparse.vmdk", 24, "<Q", 16)),
        "image-unsupported",
        "features",
    ),
    "seSparse with a broken second header": (
        changed(lambda here: chain(here, "seSparse"), number("web01-000001-sesparse.vmdk", 512, "<Q", 3)),
        "image-invalid",
        "second header",
    ),
    "seSparse with a broken directory": (
        changed(lambda here: chain(here, "seSparse"), number("web01-000001-sesparse.vmdk", 1024, "<Q", 3)),
        "image-invalid",
        "grain directory",
    ),
    "seSparse with a short directory": (
        changed(lambda here: chain(here, "seSparse"), number("web01-000001-sesparse.vmdk", 136, "<Q", 0)),
        "image-invalid",
        "grain directory",
    ),
    "seSparse with a broken table": (
        changed(lambda here: chain(here, "seSparse"), number("web01-000001-sesparse.vmdk", 3 * 512, "<Q", 5 << 60)),
        "image-invalid",
        "grain table",
    ),
    "a delta by itself": (
        lambda here: vmdks.cowd(here / "x-delta.vmdk", ODD, FIRST),
        "image-unsupported",
        "without a descriptor",
    ),
    "a flat extent by itself": (
        changed(flat(), lambda here: (here / "web01-flat.vmdk").rename(here / "w")),
        MISSING,
        "web01-flat",
    ),
    "a text of a self-contained kind": (
        lambda here: _text(here, "monolithicSparse", 'RW 1 SPARSE "a.vmdk"'),
        "image-invalid",
        "only the descriptor",
    ),
    "thousands of extents": (lambda here: _text(here, "vmfs", *["RW 1 ZERO"] * 4201), "image-limits", "4201"),
    "huge": (lambda here: _text(here, "vmfs", "RW 137438953473 ZERO"), "image-limits", "claims"),
    "in an object store": (flat('RW 1 VMFS "vsan://5f3a-77"'), "image-unsupported", "object store"),
    "NUL within the text": (
        changed(flat(), edited("web01.vmdk", b"# Extent", b"\0# Extent")),
        "image-invalid",
        "no plain text",
    ),
    "empty": (changed(flat(), lambda here: images.cut(here / "web01.vmdk", 0)), "image-empty", "empty"),
}


def _text(here: Path, kind: str, *lines: str) -> Path:
    (here / "disk.vmdk").write_bytes(vmdks.text(kind, *lines))
    return here / "disk.vmdk"


@pytest.mark.parametrize("case", BAD)
def test_refused(here: Path, case: str) -> None:
    make, code, words = BAD[case]
    path = make(here)
    with raises_problem(code, words) as caught:
        judged(path)
    assert caught[0].remedy


def test_a_missing_file_is_named_with_the_place_where_it_belongs(here: Path) -> None:
    with raises_problem(MISSING) as caught:
        judged(flat('RW 1 VMFS "gone.vmdk"')(here))
    assert f"Copy gone.vmdk into {here}" in caught[0].remedy


def test_too_many_files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypersdkd.host.vmdk_disk.MAX_FILES", 2)
    with raises_problem("image-limits", "over 2 files"):
        judged(chain(here))


def test_too_many_parents(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hypersdkd.host.vmdk_disk.MAX_LINKS", 1)
    with raises_problem("image-limits", "over 1 parents"):
        judged(chain(here))


def test_a_streamed_extent_that_is_no_disk_of_its_own(here: Path) -> None:
    images.footered_vmdk(here / "a.vmdk")
    with raises_problem("image-unsupported", "streamed"):
        judged(_text(here, "twoGbMaxExtentSparse", 'RW 32768 SPARSE "a.vmdk"'))


def test_what_qemu_would_have_lost(here: Path) -> None:
    """The bare tool says nothing of any of these, and exits with 0: a hole where the file is too short, everything
    after an extent of zeros in the wrong place, and the beginning of an extent under the last grain of the one before.
    """
    short = changed(flat(), shorter("web01-flat.vmdk", images.MIB))(here)
    images.qemu_img("convert", "-f", "vmdk", "-O", "raw", short, here / "lost.raw")
    assert (here / "lost.raw").read_bytes() != DATA
    (here / "web01-flat.vmdk").write_bytes(DATA)
    moved = _text(here, "vmfs", "RW 2048 ZERO", f'RW {SEC} VMFS "web01-flat.vmdk"')
    images.qemu_img("convert", "-f", "vmdk", "-O", "raw", moved, here / "lost.raw")
    assert (here / "lost.raw").read_bytes() == DATA
    assert read(moved) == bytes(images.MIB) + DATA
    vmdks.made_by_qemu(here, "monolithicSparse", DATA, "a.vmdk")
    overlaid = _text(here, "custom", f'RW {SEC} SPARSE "a.vmdk"', f'RW {SEC} FLAT "web01-flat.vmdk" 0')
    overlaid.write_bytes(overlaid.read_bytes().replace(b"custom", b"twoGbMaxExtentSparse"))
    images.qemu_img("convert", "-f", "vmdk", "-O", "raw", overlaid, here / "lost.raw")
    assert (here / "lost.raw").read_bytes() != DATA + DATA
    with raises_problem("image-unsupported", "within a grain"):
        judged(overlaid)


def test_a_disk_in_many_files(here: Path) -> None:
    for index in range(300):
        (here / f"x-f{index:03}.vmdk").write_bytes(bytes([index % 251]) * SECTOR)
    lines = [f'RW 1 FLAT "x-f{index:03}.vmdk" 0' for index in range(300)]
    expected = b"".join(bytes([index % 251]) * SECTOR for index in range(300))
    assert read(_text(here, "twoGbMaxExtentFlat", *lines)) == expected
    assert replace(judged(here / "disk.vmdk"), warnings=()).virtual_size == 300 * SECTOR


# -- whatever is written there ------------------------------------------------------------------------

PIECES = [
    "web01-flat.vmdk",
    "web01-000001-delta.vmdk",
    "web01.vmdk",
    "disk.vmdk",
    "/etc/passwd",
    "../out.raw",
    "link",
    "fifo",
    "sub",
    "",
    "\udcff",
    "nbd://localhost",
]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with whatever a descriptor might name."""
    here = tmp_path_factory.mktemp("crowd") / "disk"
    here.mkdir()
    vmdks.esx_flat(here, "web01", DATA, cid=1)
    vmdks.esx_delta(here, "web01-000001", "web01.vmdk", ODD, FIRST)
    (here / "link").symlink_to("/etc/passwd")
    os.mkfifo(here / "fifo")
    (here / "sub").mkdir()
    return here


names = st.sampled_from(PIECES)
extents = st.builds(
    '{} {} {} "{}"{}'.format,
    st.sampled_from(["RW", "RDONLY", "NOACCESS", "rw"]),
    st.sampled_from([0, 1, SEC, SEC - 1, SEC + 1, 1 << 40, 10**18]),
    st.sampled_from(["FLAT", "VMFS", "SPARSE", "VMFSSPARSE", "SESPARSE", "ZERO", "VMFSRDM"]),
    names,
    st.sampled_from(["", " 0", " 1", " -1", f" {SEC}"]),
)
other = st.sampled_from(["RW 5 ZERO", "\0", "\r", 'ddb.x = "y"', "what", 'encryptionKeys="a"', "\t", "#"])
hints = st.builds('parentFileNameHint="{}"'.format, names)
parents = st.sampled_from(["parentCID=00000001", "parentCID=ffffffff", "parentCID=x", ""])
kinds = st.builds('createType="{}"'.format, st.sampled_from(["vmfs", "custom", "vmfsSparse", "monolithicSparse", "a"]))


@settings(max_examples=1500)
@given(lines=st.lists(st.one_of(extents, extents, hints, other), max_size=5), parent=parents, kind=kinds)
def test_any_text_is_a_disk_of_files_beside_it_or_a_problem(
    crowd: Path, lines: list[str], parent: str, kind: str
) -> None:
    text = "\n".join(["# Disk DescriptorFile", "version=1", "CID=00000002", parent, kind, *lines])
    path = crowd / "disk.vmdk"
    path.write_bytes(os.fsencode(text))
    with OpenSource([crowd.parent], seconds=60) as source:
        source.open(str(path))
        try:
            facts, _ = read_disk(source)
        except ProblemError as error:
            assert error.problem.remedy
        else:
            assert facts.virtual_size % SECTOR == 0
        assert {file.path.parent for file in source.files} == {crowd}
        assert {os.readlink(f"/proc/self/fd/{fd}") for fd in source.fds} == {str(file.path) for file in source.files}
