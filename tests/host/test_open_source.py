"""A source while it is judged: its files are held, and let go after any error."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hypersdkd.host.image_file import ImageFacts
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.disk import FileNode, ImageNode, TextNode
from tests import images
from tests.problems import raises_problem

RAW = ImageNode("raw", FileNode(0))


def opening(tmp_path: Path) -> OpenSource:
    return OpenSource([tmp_path], seconds=60)


def is_leased(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except BlockingIOError:
        return True
    return False


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "near").write_bytes(b"near")
    return images.raw_disk(tmp_path / "disk.raw", images.MIB * 2)


def test_files_are_held_until_the_disk_lets_go(tmp_path: Path, disk: Path) -> None:
    with opening(tmp_path) as source:
        top, near = source.open(str(disk)), source.open_sibling("near")
        assert source.open_sibling("near") is near
        assert (source.index(top), source.index(near)) == (0, 1)
        assert source.size == disk.stat().st_size + 4
        assert source.unleased == []
        size = source.size
        kept = source.keep(RAW, ImageFacts("raw", "mbr", top.size, top.size))
    assert [file.path for file in kept.files] == [disk, tmp_path / "near"]
    assert (kept.path, kept.format, kept.variant, kept.file_size) == (disk, "raw", "mbr", size)
    assert [is_leased(file.path) for file in kept.files] == [True, True]
    kept.release()
    assert [is_leased(file.path) for file in kept.files] == [False, False]


def test_what_another_disk_needs_is_still_held(tmp_path: Path, disk: Path) -> None:
    with opening(tmp_path) as source:
        top = source.open(str(disk))
        first, second = (source.keep(RAW, ImageFacts("raw", "", top.size, top.size)) for _ in range(2))
    first.release([second])
    assert is_leased(disk)
    second.release()
    assert not is_leased(disk)


def test_what_is_not_kept_is_let_go(tmp_path: Path, disk: Path) -> None:
    with opening(tmp_path) as source:
        source.open(str(disk))
        assert is_leased(disk)
    assert not is_leased(disk)


def test_an_error_lets_go(tmp_path: Path, disk: Path) -> None:
    with pytest.raises(ZeroDivisionError), opening(tmp_path) as source:
        source.open(str(disk))
        raise ZeroDivisionError
    assert not is_leased(disk)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "source-outside"),
        (".", "source-outside"),
        ("..", "source-outside"),
        ("../disk.raw", "source-outside"),
        ("/etc/passwd", "source-outside"),
        ("below/file", "source-outside"),
        ("near\0", "source-outside"),
        ("missing", "source-missing"),
        ("link", "source-not-regular"),
        ("fifo", "source-not-regular"),
        ("below", "source-not-regular"),
        ("n" * 300, "source-missing"),
    ],
)
def test_only_regular_files_beside_it(tmp_path: Path, disk: Path, name: str, code: str) -> None:
    (tmp_path / "link").symlink_to("near")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    with raises_problem(code), opening(tmp_path) as source:
        source.open(str(disk))
        source.open_sibling(name)


def test_siblings_lie_beside_the_file_itself_not_beside_a_link_to_it(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "near").write_text("another")
    (tmp_path / "links" / "disk.raw").symlink_to(disk)
    with opening(tmp_path) as source:
        source.open(str(tmp_path / "links" / "disk.raw"))
        assert source.open_sibling("near").size == 4


def test_a_sibling_that_is_being_written_to(tmp_path: Path, disk: Path) -> None:
    with (tmp_path / "near").open("ab"), raises_problem("source-busy"), opening(tmp_path) as source:
        source.open(str(disk))
        source.open_sibling("near")


def test_a_change_before_it_is_kept(tmp_path: Path, disk: Path) -> None:
    with raises_problem("source-changed", "disk.raw"), opening(tmp_path) as source:
        top = source.open(str(disk))
        os.utime(disk)
        source.keep(RAW, ImageFacts("raw", "", top.size, top.size))


def test_checksums(tmp_path: Path, disk: Path) -> None:
    moves: list[tuple[int, int]] = []
    with opening(tmp_path) as source:
        source.open(str(disk))
        source.open_sibling("near")
        found = source.checksums(lambda done, total: moves.append((done, total)))
    assert found == ["sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() for path in (disk, tmp_path / "near")]
    assert moves == sorted(moves)
    assert moves[-1] == (source.size, source.size)


def test_qemu_must_find_what_was_judged(tmp_path: Path, disk: Path) -> None:
    image = images.make(tmp_path / "disk.qcow2")
    with opening(tmp_path) as source:
        source.open(str(image))
        graph = ImageNode("qcow2", FileNode(0))
        source.compare_with_qemu(graph, ImageFacts("qcow2", "v3", 16 * images.MIB, 1))
        with raises_problem("image-invalid", "finds 16777216"):
            source.compare_with_qemu(graph, ImageFacts("qcow2", "v3", 5, 1))
        with raises_problem("image-invalid", "cannot open"):
            source.compare_with_qemu(ImageNode("vdi", FileNode(0)), ImageFacts("vdi", "", 5, 1))
        source.open_sibling("disk.raw")
        head = '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="twoGbMaxExtentFlat"\n'
        text = TextNode((head, 'RW 4096 FLAT "', 1, '" 0\n'))
        over = ImageNode("qcow2", FileNode(0), ImageNode("vmdk", text))
        source.compare_with_qemu(over, ImageFacts("qcow2", "v3", 16 * images.MIB, 1))
        source.compare_with_qemu(ImageNode("vmdk", text), ImageFacts("vmdk", "whatever it was", 2 * images.MIB, 1))


def test_a_reference_that_slipped_through(tmp_path: Path, disk: Path) -> None:
    images.qemu_img("create", "-f", "qcow2", "-b", disk, "-F", "raw", tmp_path / "over.qcow2")
    with raises_problem("image-backing", "disk.raw"), opening(tmp_path) as source:
        source.open(str(tmp_path / "over.qcow2"))
        source.compare_with_qemu(ImageNode("qcow2", FileNode(0)), ImageFacts("qcow2", "v3", 2 * images.MIB, 1))


def test_a_source_beside_it_has_files_of_its_own(tmp_path: Path, disk: Path) -> None:
    with opening(tmp_path) as source:
        source.open(str(disk))
        with source.beside("near") as other:
            assert [file.path.name for file in other.files] == ["near"]
            assert is_leased(tmp_path / "near")
        assert not is_leased(tmp_path / "near")
        assert [file.path.name for file in source.files] == ["disk.raw"]
        with raises_problem("source-outside"):
            source.beside("../near")


def test_a_part_of_a_file_is_a_disk(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "disk").write_bytes(bytes(1024))
    with opening(tmp_path) as source:
        source.open(str(disk))
        source.open_own(tmp_path / "work" / "disk")
        inside = ImageNode("raw", FileNode(0, 512, 1024))
        facts = ImageFacts("raw", "", 1024, 1000)
        source.compare_with_qemu(inside, facts, "member")
        part = source.keep_part(inside, facts)
        own = source.keep_part(ImageNode("raw", FileNode(1)), facts)
    assert ([file.path.name for file in part.files], part.graph, part.file_size) == (["disk.raw"], inside, 1000)
    assert ([file.path.name for file in own.files], own.graph) == (["disk.raw", "disk"], ImageNode("raw", FileNode(1)))
    part.release([own])
    assert is_leased(disk)
    own.release()
    assert not is_leased(disk)
