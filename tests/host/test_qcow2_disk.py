"""qcow2 with backing files: each of the format that is said, none from elsewhere."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from hypersdkd.host import qemu_img
from hypersdkd.host.image_file import ImageFacts
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.source_disk import read_disk
from hypersdkd.host.source_graph import over_descriptors
from tests import images, vmdks
from tests.problems import raises_problem

DATA = vmdks.content()
PIECE = vmdks.noise(65536, 3)
WRITTEN = vmdks.applied(DATA, {images.MIB: PIECE})


def read(path: Path, *, trusted: bool = False) -> tuple[ImageFacts, bytes]:
    """The disk's content, as qemu-img reads it when it is confined to the disk's files."""
    output = path.parent.parent / "out.raw"
    with OpenSource([path.parent], seconds=60) as source:
        source.open(str(path))
        facts, graph = read_disk(source, "qcow2", trusted=trusted)
        source.compare_with_qemu(graph, facts)
        with over_descriptors(graph, source.fds) as named, output.open("w+b") as file:
            qemu_img.convert(named, qemu_img.Conversion("raw"), file.fileno(), timeout=60)
        source.keep(graph, facts).release()
    return facts, output.read_bytes()


def overlay(path: Path, backing: str, form: str = "raw", *, write: bool = True) -> Path:
    """A qcow2 over a file that need not be there, with a piece of its own at 1 MiB."""
    images.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", form or "raw", path, str(len(DATA)))
    if write:
        (path.parent / "piece").write_bytes(PIECE)
        command = ["qemu-io", "-f", "qcow2", "-c", f"write -s piece {images.MIB} 65536", path.name]
        subprocess.run(command, check=True, cwd=path.parent, capture_output=True)
    if not form:  # make the format's extension one that nobody knows
        at = path.read_bytes().index(struct.pack(">I", 0xE2792ACA))
        images.patch(path, at, struct.pack(">I", 0x12345678))
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The directory of sources."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "base.raw").write_bytes(DATA)
    return tmp_path / "sources"


@pytest.mark.parametrize("said", ["raw", ""])
@pytest.mark.parametrize("backing", ["base.raw", "./base.raw", "../sources/base.raw", "{here}/base.raw"])
def test_over_raw(here: Path, backing: str, said: str) -> None:
    facts, content = read(overlay(here / "top.qcow2", backing.format(here=here), said))
    assert content == WRITTEN
    assert (facts.format, facts.variant, facts.virtual_size) == ("qcow2", "v3", len(DATA))
    assert facts.file_size == (here / "top.qcow2").stat().st_size + len(DATA)


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi", "vpc", "vhdx"])
@pytest.mark.parametrize("said", [True, False])
def test_over_an_image(here: Path, form: str, said: bool) -> None:
    options = ("-o", "force_size=on") if form == "vpc" else ()
    images.qemu_img("convert", "-f", "raw", "-O", form, *options, here / "base.raw", here / "base")
    assert read(overlay(here / "top.qcow2", "base", form if said else ""))[1] == WRITTEN


def test_a_chain_through_directories(here: Path) -> None:
    (here / "below").mkdir()
    middle = overlay(here / "below" / "middle.qcow2", "../base.raw")
    top = overlay(here / "top.qcow2", "below/middle.qcow2", "qcow2", write=False)
    assert read(top)[1] == WRITTEN
    (here / "link.qcow2").symlink_to(middle)
    assert read(overlay(here / "top2.qcow2", "link.qcow2", "qcow2", write=False))[1] == WRITTEN


def test_a_base_of_another_size(here: Path) -> None:
    images.cut(here / "base.raw", 2 * images.MIB)
    expected = vmdks.applied(DATA[: 2 * images.MIB].ljust(len(DATA), b"\0"), {images.MIB: PIECE})
    assert read(overlay(here / "top.qcow2", "base.raw"))[1] == expected
    (here / "base.raw").write_bytes(DATA + b"more".ljust(4096))
    assert read(overlay(here / "top.qcow2", "base.raw"))[1] == WRITTEN


def test_outside(here: Path) -> None:
    """A bare qemu-img copies the file into its output."""
    (here.parent / "secret").write_bytes(b"canary".ljust(65536))
    for backing in (str(here.parent / "secret"), "../secret"):
        top = overlay(here / "top.qcow2", backing, write=False)
        images.qemu_img("convert", "-f", "qcow2", "-O", "raw", top, here.parent / "leaked")
        assert (here.parent / "leaked").read_bytes().startswith(b"canary")
        with raises_problem("source-outside") as caught:
            read(top)
        assert "source_dirs" in caught[0].remedy
    (here / "link").symlink_to(here.parent / "secret")
    with raises_problem("source-outside"):
        read(overlay(here / "top.qcow2", "link"))


@pytest.mark.parametrize(
    ("backing", "code"),
    [
        ("nothing", "source-incomplete"),
        ('json:{"driver":"null-co"}', "image-backing"),
        ("nbd://127.0.0.1:9/x", "image-backing"),
        ("file:base.raw", "image-backing"),
        ("base.raw\n", "image-backing"),
        ("sub/", "image-backing"),
        (".", "source-not-regular"),
        ("fifo", "source-not-regular"),
        ("/dev/zero", "source-outside"),
        ("b" * 300, "source-incomplete"),
    ],
)
def test_what_is_no_file_of_ours(here: Path, backing: str, code: str) -> None:
    os.mkfifo(here / "fifo")
    overlay(here / "top.qcow2", "x" * len(backing), write=False)
    raw = (here / "top.qcow2").read_bytes()
    (here / "top.qcow2").write_bytes(raw.replace(b"x" * len(backing), backing.encode()))
    with raises_problem(code):
        read(here / "top.qcow2")


def test_the_format_is_what_the_image_says_and_is_checked(here: Path) -> None:
    with raises_problem("source-type-mismatch"):
        read(overlay(here / "top.qcow2", "base.raw", "qcow2", write=False))
    inner = overlay(here / "base.qcow2", "base.raw")
    with raises_problem("source-type-mismatch", "base.qcow2"):
        read(overlay(here / "top.qcow2", "base.qcow2", "raw"))
    facts, content = read(overlay(here / "top.qcow2", "base.qcow2", "raw", write=False), trusted=True)
    inside = inner.read_bytes()
    assert content[: len(inside)] == inside
    with raises_problem("image-unsupported", "luks"):
        read(overlay(here / "top.qcow2", "base.raw", "luks", write=False))
    assert facts.virtual_size == len(DATA)


def test_a_guest_that_makes_its_raw_disk_look_like_an_image(here: Path) -> None:
    """Where the format is not said, qemu would follow what the guest wrote to another's disk."""
    (here / "others.raw").write_bytes(b"another guest's".ljust(65536))
    disk = overlay(here / "disk.raw", "others.raw", write=False)
    top = overlay(here / "top.qcow2", "disk.raw", "", write=False)
    images.qemu_img("convert", "-f", "qcow2", "-O", "raw", top, here.parent / "leaked")
    assert (here.parent / "leaked").read_bytes().startswith(b"another guest's")
    with raises_problem("image-backing", "does not say") as caught:
        read(top)
    assert "rebase" in caught[0].remedy
    assert disk.exists()


def test_chains_without_an_end(here: Path) -> None:
    overlay(here / "a.qcow2", "b.qcow2", "qcow2", write=False)
    overlay(here / "b.qcow2", "a.qcow2", "qcow2", write=False)
    with raises_problem("image-invalid", "own backing"):
        read(here / "a.qcow2")
    for number in range(65):
        overlay(here / f"{number}.qcow2", f"{number + 1}.qcow2", "qcow2", write=False)
    with raises_problem("image-limits", "64"):
        read(here / "0.qcow2")


def test_each_link_must_be_whole(here: Path) -> None:
    middle = overlay(here / "middle.qcow2", "base.raw")
    top = overlay(here / "top.qcow2", "middle.qcow2", "qcow2", write=False)
    images.cut(middle, middle.stat().st_size - 65536)
    with raises_problem("image-truncated", "middle.qcow2"):
        read(top)
    images.cut(here / "base.raw", 0)
    with raises_problem("image-empty"):
        read(overlay(here / "top.qcow2", "base.raw"))


def test_a_data_file_below(here: Path) -> None:
    option = f"data_file={here}/data"
    images.qemu_img("create", "-q", "-f", "qcow2", "-o", option, here / "base.qcow2", "1M")
    with raises_problem("image-backing", "another file"):
        read(overlay(here / "top.qcow2", "base.qcow2", "qcow2", write=False))


def test_snapshots_are_told(here: Path) -> None:
    top = overlay(here / "top.qcow2", "base.raw")
    images.qemu_img("snapshot", "-c", "before", top)
    images.qemu_img("snapshot", "-c", "later", top)
    facts, content = read(top)
    assert content == WRITTEN
    assert [(warning.code, "2 snapshots" in warning.message) for warning in facts.warnings] == [
        ("image-snapshots", True)
    ]
