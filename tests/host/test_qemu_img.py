"""The real qemu-img, with hostile names and hostile files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host import qemu_img
from hypersdkd.host.files import open_regular
from tests import images
from tests.problems import raises_problem

NAMES = [
    b"a,b.qcow2",
    b"new\nline.qcow2",
    b"%s%d.qcow2",
    b"quote\"'.qcow2",
    b"-dash.qcow2",
    b"nbd:localhost.qcow2",
    b"json:{}.qcow2",
    b"back\\slash.qcow2",
    b"esc\x1b[2J.qcow2",
    "ü→\U0001f600.qcow2".encode(),
    "\uffff.qcow2".encode(),
    b"\xff\xfe.qcow2",
    b"l" * 249 + b".qcow2",
]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return images.make(tmp_path / "disk.qcow2")


@pytest.fixture
def source(image: Path) -> Iterator[qemu_img.Source]:
    fd = open_regular(image)
    yield qemu_img.Source.of_fd(fd, "qcow2")
    os.close(fd)


def write(source: qemu_img.Source, path: Path, conversion: qemu_img.Conversion, **options: object) -> Path:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        qemu_img.convert(source, conversion, fd, timeout=60, **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_a_name(image: Path, tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    os.link(image, path)
    link = qemu_img.plain_path(path, tmp_path, "link")
    source = qemu_img.Source(qemu_img.reference(link, "qcow2"))
    assert qemu_img.info(source).virtual_size == 16 * images.MIB
    assert qemu_img.measure(source, "raw") > 0
    output = write(source, tmp_path / "out", qemu_img.Conversion("raw"))
    result = qemu_img.Source(qemu_img.reference(output, "raw"))
    assert qemu_img.compare(source, result, timeout=60) == ""


def test_a_relative_or_odd_name_is_refused(tmp_path: Path) -> None:
    for path in (Path("disk.qcow2"), tmp_path / "\udcfc", tmp_path / "\ufffe"):
        with raises_problem("image-invalid"):
            qemu_img.reference(path, "qcow2")


@pytest.mark.parametrize("name", ["ü", "\ufffd", "日本", "\U0001f600"])
def test_links_may_lie_in_a_directory_of_any_plain_name(image: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = tmp_path / "n\udcfc"
    os.link(image, path)
    source = qemu_img.Source(qemu_img.reference(qemu_img.plain_path(path, tmp_path / name, "link"), "qcow2"))
    assert qemu_img.info(source).virtual_size == 16 * images.MIB


def test_a_descriptor_stays_the_file_that_was_opened(image: Path, source: qemu_img.Source) -> None:
    image.rename(image.with_name("elsewhere"))
    image.write_text("another file")
    assert qemu_img.info(source).format == "qcow2"


def test_version() -> None:
    assert qemu_img.version()[0].isdigit()


def test_info_names_other_files(tmp_path: Path) -> None:
    images.raw_disk(tmp_path / "base.raw")
    images.qemu_img("create", "-f", "qcow2", "-b", tmp_path / "base.raw", "-F", "raw", tmp_path / "over.qcow2")
    found = qemu_img.info(qemu_img.Source(qemu_img.reference(tmp_path / "over.qcow2", "qcow2")))
    assert any("base.raw" in other for other in found.names_others)


def test_info_of_nonsense(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nonsense" * 200)
    with raises_problem("image-invalid"):
        qemu_img.info(qemu_img.Source(qemu_img.reference(tmp_path / "x", "qcow2")))


@pytest.mark.parametrize("output_format", ["qcow2", "raw", "vdi", "vmdk"])
def test_measure_is_enough(source: qemu_img.Source, tmp_path: Path, output_format: str) -> None:
    needed = qemu_img.measure(source, output_format)
    output = write(source, tmp_path / "out", qemu_img.Conversion(output_format))
    assert output.stat().st_blocks * 512 <= needed < 9 * images.MIB


def test_progress_goes_up_to_the_end(source: qemu_img.Source, tmp_path: Path) -> None:
    seen: list[float] = []
    write(source, tmp_path / "out", qemu_img.Conversion("raw"), on_percent=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 100.0


def test_compression_by_zstd(source: qemu_img.Source, tmp_path: Path) -> None:
    assert qemu_img.zstd_works(tmp_path)
    conversion = qemu_img.Conversion("qcow2", ("compression_type=zstd",), compress=True)
    output = write(source, tmp_path / "out", conversion)
    assert '"compression-type": "zstd"' in images.qemu_img("info", "--output=json", output).stdout


def test_compare_says_where(source: qemu_img.Source, tmp_path: Path) -> None:
    output = write(source, tmp_path / "out", qemu_img.Conversion("raw"))
    images.patch(output, images.MIB + 5, b"changed")
    difference = qemu_img.compare(source, qemu_img.Source(qemu_img.reference(output, "raw")), timeout=60)
    assert "offset 1048576" in difference


@pytest.mark.parametrize(("refcount", "errors", "leaks"), [(b"\0\0", 2, 0), (b"\0\x02", 1, 1)])
def test_check_counts_errors_and_leaks(
    image: Path, source: qemu_img.Source, refcount: bytes, errors: int, leaks: int
) -> None:
    assert qemu_img.check(source) == qemu_img.CheckResult(True)
    images.patch(image, 0x20000 + 2 * 5, refcount)  # of a cluster that one entry names
    result = qemu_img.check(source)
    assert (result.errors, result.leaks) == (errors, leaks)


def test_raw_has_no_check(tmp_path: Path) -> None:
    path = images.raw_disk(tmp_path / "disk.raw")
    assert not qemu_img.check(qemu_img.Source(qemu_img.reference(path, "raw"))).supported


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("error while writing at byte 0: No space left on device", "no-space"),
        ("error while writing at byte 0: Disk quota exceeded", "no-space"),
        ('Failed to get shared "write" lock', "source-busy"),
        ("something else", "tool-failed"),
    ],
)
def test_what_a_failure_means(
    source: qemu_img.Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str, code: str
) -> None:
    fake_tool(tmp_path, monkeypatch, f"echo 'qemu-img: {message}' >&2; exit 1")
    with raises_problem(code):
        write(source, tmp_path / "out", qemu_img.Conversion("raw"))


def test_an_answer_that_is_not_json(source: qemu_img.Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tool(tmp_path, monkeypatch, "echo '[1'")
    with raises_problem("tool-failed"):
        qemu_img.info(source)


def fake_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a qemu-img of our own first on PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "qemu-img").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
