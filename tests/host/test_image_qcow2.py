"""qcow2 images, good ones and every kind of bad one."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from hypersdkd.host.image_file import ImageFacts, opened
from hypersdkd.host.image_qcow2 import judge
from tests import images
from tests.problems import raises_problem


def look(path: Path) -> ImageFacts:
    with opened(path) as image:
        return judge(image)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return images.make(tmp_path / "disk.qcow2")


@pytest.mark.parametrize(
    ("options", "variant"),
    [
        ((), "v3"),
        (("compat=0.10",), "v2"),
        (("cluster_size=512",), "v3"),
        (("cluster_size=2M",), "v3"),
        (("extended_l2=on", "cluster_size=128k"), "v3"),
        (("preallocation=metadata",), "v3"),
        (("preallocation=falloc",), "v3"),
        (("refcount_bits=1",), "v3"),
        (("lazy_refcounts=on",), "v3"),
    ],
)
@pytest.mark.parametrize("size", [16 * images.MIB, 16 * images.MIB + 3 * 512])
def test_good(tmp_path: Path, options: tuple[str, ...], variant: str, size: int) -> None:
    facts = look(images.make(tmp_path / "disk.qcow2", *options, size=size))
    assert (facts.format, facts.variant, facts.virtual_size, facts.warnings) == ("qcow2", variant, size, ())


@pytest.mark.parametrize("compression", ["zlib", "zstd"])
def test_compressed(tmp_path: Path, compression: str) -> None:
    raw, path = images.raw_disk(tmp_path / "raw"), tmp_path / "disk.qcow2"
    images.patch(raw, 15 * images.MIB, "".join(map(str, range(170_000))).encode())  # digits shrink to a half
    images.qemu_img("convert", "-c", "-o", f"compression_type={compression}", "-f", "raw", "-O", "qcow2", raw, path)
    assert look(path).virtual_size == 16 * images.MIB
    with raises_problem("image-truncated", "compressed data"):
        look(images.cut(path, path.stat().st_size - 128 * 1024))


@pytest.mark.parametrize("compression", ["zlib", "zstd"])
@pytest.mark.parametrize("cluster", ["512", "64k", "2M"])
def test_the_last_of_compressed_data_is_missing(tmp_path: Path, compression: str, cluster: str) -> None:
    """By less than a cluster: qemu-img converts it to other content, without an error. What ends the file need not be a
    whole sector."""
    raw, path = tmp_path / "raw", tmp_path / "disk.qcow2"
    raw.write_bytes("".join(map(str, range(100_000))).encode())
    options = f"compression_type={compression},cluster_size={cluster}"
    images.qemu_img("convert", "-c", "-o", options, "-f", "raw", "-O", "qcow2", raw, path)
    size = path.stat().st_size
    assert look(images.cut(path, size - 1)).format == "qcow2"
    with raises_problem("image-truncated", "compressed data"):
        look(images.cut(path, size - 512))


# -- content behind the end ------------------------------------------------------------------------------

ODD = 5 * images.MIB + 3 * 512


def full(path: Path, *options: str, size: int = 16 * images.MIB) -> Path:
    """A disk with content everywhere."""
    words = [word for option in options for word in ("-o", option)]
    images.qemu_img("create", "-f", "qcow2", *words, path, str(size))
    qemu_io(path, f"write -P 7 0 {size}")
    return path


def qemu_io(path: Path, command: str) -> None:
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, path], check=True, capture_output=True)


LAYOUTS = [(), ("cluster_size=512",), ("cluster_size=4k", "compat=0.10"), ("extended_l2=on", "cluster_size=16k")]


@pytest.mark.parametrize("options", LAYOUTS)
@pytest.mark.parametrize("size", [512, ODD, 16 * images.MIB - (64 << 10)])
def test_a_size_that_was_made_less(tmp_path: Path, options: tuple[str, ...], size: int) -> None:
    """qemu would cut the disk there, and exit with 0."""
    path = images.patch(full(tmp_path / "disk.qcow2", *options), 24, struct.pack(">Q", size))
    with raises_problem("image-invalid", f"at byte {size}"):
        look(path)


def test_a_size_that_was_made_less_of_a_compressed_disk(tmp_path: Path) -> None:
    path, packed = full(tmp_path / "disk.qcow2"), tmp_path / "packed.qcow2"
    images.qemu_img("convert", "-c", "-f", "qcow2", "-O", "qcow2", path, packed)
    with raises_problem("image-invalid", "behind the end"):
        look(images.patch(packed, 24, struct.pack(">Q", 15 * images.MIB)))


@pytest.mark.parametrize("options", LAYOUTS)
@pytest.mark.parametrize("size", [512, ODD, 16 * images.MIB - 512])
def test_what_qemu_shrinks_and_grows_is_good(tmp_path: Path, options: tuple[str, ...], size: int) -> None:
    path = full(tmp_path / "disk.qcow2", *options)
    images.qemu_img("resize", "--shrink", "-f", "qcow2", path, str(size))
    assert look(path).virtual_size == size
    images.qemu_img("resize", "-f", "qcow2", path, str(size + images.MIB))
    assert look(path).virtual_size == size + images.MIB


@pytest.mark.parametrize("options", LAYOUTS)
def test_a_saved_state_is_no_content(tmp_path: Path, options: tuple[str, ...]) -> None:
    """It lies behind the disk's end, and is still there when the snapshot was reverted to and removed."""
    path = full(tmp_path / "disk.qcow2", *options)
    commands = "savevm a\nloadvm a\ndelvm a\nquit\n"
    words = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-display",
        "none",
        "-accel",
        "tcg",
        "-S",
        "-m",
        "16",
        "-monitor",
        "stdio",
    ]
    drive = f"file={path},format=qcow2,if=virtio"
    subprocess.run([*words, "-drive", drive], input=commands.encode(), check=True, capture_output=True, timeout=60)
    assert b"QEVM" in path.read_bytes(), "nothing was saved"
    assert (look(path).virtual_size, look(path).warnings) == (16 * images.MIB, ())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"QEVM", b"QEVN"))
    with raises_problem("image-invalid", "behind the end"):
        look(path)


def test_with_a_snapshot(image: Path) -> None:
    images.qemu_img("snapshot", "-c", "before", image)
    images.qemu_img("bench", "-w", "-f", "qcow2", "-c", "2", "-o", str(images.MIB), image)
    assert look(image).virtual_size == 16 * images.MIB


@pytest.mark.parametrize("keep", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_cut(image: Path, keep: float) -> None:
    with raises_problem("image-truncated"):
        look(images.cut(image, int(image.stat().st_size * keep)))


def test_a_hole_at_the_end_is_not_a_cut(tmp_path: Path) -> None:
    images.qemu_img("create", "-f", "qcow2", tmp_path / "disk.qcow2", "1T")
    assert look(tmp_path / "disk.qcow2").virtual_size == 1 << 40


def test_backing_file(tmp_path: Path) -> None:
    images.raw_disk(tmp_path / "base")
    images.qemu_img("create", "-f", "qcow2", "-b", "base", "-F", "raw", tmp_path / "disk.qcow2")
    with raises_problem("image-backing", "backing file"):
        look(tmp_path / "disk.qcow2")


def test_data_file(tmp_path: Path) -> None:
    option = f"data_file={tmp_path}/data"
    images.qemu_img("create", "-f", "qcow2", "-o", option, tmp_path / "disk.qcow2", "1M")
    with raises_problem("image-backing", "another file"):
        look(tmp_path / "disk.qcow2")
    images.patch(tmp_path / "disk.qcow2", 72, bytes(8))  # the feature is denied, the name still stands there
    with raises_problem("image-backing", "data file"):
        look(tmp_path / "disk.qcow2")


@pytest.mark.parametrize(
    ("offset", "data", "code"),
    [
        (0, b"QFI\xfa", "image-invalid"),
        (4, struct.pack(">I", 4), "image-unsupported"),
        (8, struct.pack(">Q", 1), "image-invalid"),
        (16, struct.pack(">I", 7), "image-invalid"),
        (20, struct.pack(">I", 8), "image-limits"),
        (20, struct.pack(">I", 22), "image-limits"),
        (20, b"\xff\xff\xff\xff", "image-limits"),
        (24, struct.pack(">Q", 0), "image-invalid"),
        (24, struct.pack(">Q", (64 << 40) + 512), "image-limits"),
        (24, struct.pack(">Q", 64 << 40), "image-invalid"),  # its L1 table does not reach so far
        (32, struct.pack(">I", 1), "image-encrypted"),
        (36, struct.pack(">I", 0), "image-invalid"),
        (36, b"\xff\xff\xff\xff", "image-limits"),
        (40, struct.pack(">Q", 0), "image-invalid"),
        (40, struct.pack(">Q", 513), "image-invalid"),
        (40, struct.pack(">Q", 1 << 40), "image-truncated"),
        (48, struct.pack(">Q", 1 << 40), "image-truncated"),
        (56, b"\xff\xff\xff\xff", "image-limits"),
        (72, struct.pack(">Q", 2), "image-invalid"),
        (72, struct.pack(">Q", 1 << 5), "image-unsupported"),
        (72, struct.pack(">Q", 1 << 63), "image-unsupported"),
        (96, struct.pack(">I", 7), "image-invalid"),
        (100, struct.pack(">I", 72), "image-invalid"),
        (116, struct.pack(">I", 1 << 20), "image-invalid"),  # a header extension that never ends
        (0x30000, struct.pack(">Q", 0x40200), "image-invalid"),
        (0x30000, struct.pack(">Q", 1 << 40), "image-truncated"),
        (0x40000, struct.pack(">Q", 3 << 62), "image-invalid"),
        (0x40000, struct.pack(">Q", 1 << 40), "image-truncated"),
        (0x40000, struct.pack(">Q", 1 << 62 | 1 << 40), "image-truncated"),
    ],
)
def test_bad_fields(image: Path, offset: int, data: bytes, code: str) -> None:
    with raises_problem(code):
        look(images.patch(image, offset, data))


def test_not_closed_cleanly(image: Path) -> None:
    warnings = look(images.patch(image, 72, struct.pack(">Q", 1))).warnings
    assert [warning.code for warning in warnings] == ["image-unclean"]


def test_unknown_compression(image: Path) -> None:
    images.patch(image, 72, struct.pack(">Q", 8))
    with raises_problem("image-unsupported", "compression"):
        look(images.patch(image, 104, b"\x02"))
