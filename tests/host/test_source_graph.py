"""Names for qemu: everything explicit, nothing but the files that were judged, whatever they are called."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hypersdkd.host import qemu_img
from hypersdkd.host.image_source import fingerprint
from hypersdkd.host.source_graph import opened, over_descriptors, over_paths
from hypersdkd.model.disk import FileNode, ImageNode, SourceDisk, SourceFile, TextNode, Zeros
from tests import images
from tests.problems import raises_problem

MIB = images.MIB


def disk_of(graph: ImageNode, *paths: Path) -> SourceDisk:
    files = []
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        files.append(SourceFile(path, fingerprint(fd)))
        os.close(fd)
    return SourceDisk(tuple(files), graph, 1, 1)


@contextmanager
def sources(disk: SourceDisk, tmp_path: Path) -> Iterator[list[qemu_img.Source]]:
    """The disk over descriptors, confined, and over paths."""
    work = tmp_path / 'wo"rk'
    work.mkdir()
    with opened(disk) as source:
        yield [source, qemu_img.Source(over_paths(disk, work, "disk0"))]


def content(source: qemu_img.Source, output: Path) -> bytes:
    """What qemu reads there."""
    fd = os.open(output, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        qemu_img.convert(source, qemu_img.Conversion("raw"), fd, timeout=60)
    finally:
        os.close(fd)
    return output.read_bytes()


@pytest.fixture
def noise() -> bytes:
    return random.Random(5).randbytes(2 * MIB)


def descriptor(*extents: str | int | Zeros, cid: str = "0000002a", parent: str = "ffffffff") -> TextNode:
    head = f'# Disk DescriptorFile\nversion=1\nCID={cid}\nparentCID={parent}\ncreateType="twoGbMaxExtentFlat"\n'
    return TextNode((head, *extents))


def test_a_part_of_a_file(tmp_path: Path, noise: bytes) -> None:
    path = tmp_path / "all"
    path.write_bytes(b"head".ljust(512, b"h") + noise + b"tail")
    disk = disk_of(ImageNode("raw", FileNode(0, 512, len(noise))), path)
    with sources(disk, tmp_path) as both:
        assert [content(source, tmp_path / "out") == noise for source in both] == [True, True]
    rest = disk_of(ImageNode("raw", FileNode(0, 512)), path)
    with opened(rest) as source:
        assert qemu_img.info(source).virtual_size == len(noise) + 512  # to the end, in whole sectors


@pytest.mark.parametrize("name", [b"plain", b'quo"te', b"new\nline", b"\xff", b"json:{}", b"n" * 255])
def test_a_text_of_ours_names_files_of_any_name(tmp_path: Path, noise: bytes, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(noise)
    half = len(noise) // 1024
    text = descriptor(
        f'RW {half} FLAT "', 0, f'" {half}\nRW 2048 FLAT "', Zeros(MIB), f'" 0\nRW {half} FLAT "', 0, '" 0\n'
    )
    disk = disk_of(ImageNode("vmdk", text), path)
    expected = noise[MIB:] + bytes(MIB) + noise[:MIB]
    with sources(disk, tmp_path) as both:
        assert [content(source, tmp_path / "out") == expected for source in both] == [True, True]
    assert path.read_bytes() == noise


def test_backing_images(tmp_path: Path, noise: bytes) -> None:
    base, middle, top = (tmp_path / name for name in ("base.raw", "middle.qcow2", "top.qcow2"))
    base.write_bytes(noise)
    images.qemu_img("create", "-f", "qcow2", "-b", base, "-F", "raw", middle)
    images.qemu_img("create", "-f", "qcow2", "-b", middle, "-F", "qcow2", top)
    subprocess.run(["qemu-io", "-c", "write -P 7 64k 64k", top], check=True, capture_output=True)
    graph = ImageNode("qcow2", FileNode(0), ImageNode("qcow2", FileNode(1), ImageNode("raw", FileNode(2))))
    assert [node.driver for node in graph.chain()] == ["qcow2", "qcow2", "raw"]
    expected = noise[:65536] + bytes([7]) * 65536 + noise[131072:]
    disk = disk_of(graph, top, middle, base)
    with sources(disk, tmp_path) as both:
        assert [content(source, tmp_path / "out") == expected for source in both] == [True, True]
    with sources_without_backing(disk) as source:
        assert content(source, tmp_path / "out") != expected


@contextmanager
def sources_without_backing(disk: SourceDisk) -> Iterator[qemu_img.Source]:
    with opened(SourceDisk(disk.files, ImageNode("qcow2", FileNode(0)), 1, 1)) as source:
        yield source


def test_an_overlay_over_a_source_of_several_files(tmp_path: Path, noise: bytes) -> None:
    """As a guest is changed in one: the source is only read, however its files are called."""
    files = [tmp_path / os.fsdecode(name) for name in (b'qu"ote', b"\xff")]
    for number, path in enumerate(files):
        path.write_bytes(noise[number * MIB : (number + 1) * MIB])
    text = descriptor('RW 2048 FLAT "', 0, '" 0\nRW 2048 FLAT "', 1, '" 0\n')
    (tmp_path / "work").mkdir()
    below = over_paths(disk_of(ImageNode("vmdk", text), *files), tmp_path / "work", "disk0")
    overlay = tmp_path / "overlay.qcow2"
    images.qemu_img("create", "-f", "qcow2", "-b", below, "-F", "vmdk", overlay)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 64k", overlay], check=True, capture_output=True)
    images.qemu_img("convert", "-f", "qcow2", "-O", "raw", overlay, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == noise[:MIB] + bytes([7]) * 65536 + noise[MIB + 65536 :]
    assert b"".join(path.read_bytes() for path in files) == noise


def test_options_of_a_driver(tmp_path: Path) -> None:
    path = images.make(tmp_path / "disk.vpc", size=4 * MIB)
    disk = disk_of(ImageNode("vpc", FileNode(0), options={"force_size_calc": "current_size"}), path)
    with opened(disk) as source:
        assert '"force_size_calc":"current_size"' in source.reference
        assert qemu_img.info(source).format == "vpc"


def test_a_change_is_noticed(tmp_path: Path) -> None:
    paths = [images.raw_disk(tmp_path / name, MIB * 2) for name in ("a", "b")]
    disk = disk_of(ImageNode("vmdk", descriptor('RW 1 FLAT "', 0, '" 0\nRW 1 FLAT "', 1, '" 0\n')), *paths)
    with opened(disk) as source:
        assert len(source.fds) == 2
        assert len(source.own) == 1
    with raises_problem("source-changed", "b changed"), opened(disk):
        paths[1].write_bytes(b"x")
    with raises_problem("source-changed"), opened(disk):
        pass


def test_qemu_reads_nothing_that_it_was_not_given(tmp_path: Path, noise: bytes) -> None:
    """Were a name to slip into a text, the confinement holds."""
    secret = tmp_path / "secret"
    secret.write_bytes(noise)
    graph = ImageNode("vmdk", descriptor(f'RW 2048 FLAT "{secret}" 0\n'))
    with over_descriptors(graph, [os.open(images.raw_disk(tmp_path / "a", MIB * 2), os.O_RDONLY)]) as source:
        with raises_problem("image-invalid", "Permission denied"):
            qemu_img.info(source)
        os.close(source.fds[0])
