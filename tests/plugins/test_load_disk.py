"""LOAD lets an image through only if it is whole, safe and what it is claimed to be."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypersdkd_plugins import load_disk

from hypersdkd.host import qemu_img
from hypersdkd.host.source_graph import opened, over_paths
from tests import images, vmdks
from tests.plugins.context import MemoryContext, context_for
from tests.plugins.fake_tool import fake_qemu_img
from tests.problems import raises_problem

NAMES = ("web01.vmdk", "web01-flat.vmdk")
CANARY = b"canary: no guest may ever hold this\n".ljust(65536, b".")


def loaded(tmp_path: Path, source: Path | str, source_type: str, **wishes: object) -> MemoryContext:
    context = context_for(tmp_path, source, source_type, **wishes)
    context.load()
    return context


def test_the_loader_is_declared() -> None:
    (loader,) = load_disk.hypersdkd_loaders()
    assert loader.source_types == {"vmdk", "raw", "qcow2", "vdi", "vhd", "vhdx"}


@pytest.mark.parametrize(
    ("form", "options", "variant"),
    [
        ("vmdk", ("subformat=monolithicSparse",), "monolithicSparse"),
        ("vmdk", ("subformat=streamOptimized",), "streamOptimized"),
        ("qcow2", (), "v3"),
        ("vdi", (), "dynamic"),
        ("raw", (), "mbr"),
    ],
)
def test_good(tmp_path: Path, form: str, options: tuple[str, ...], variant: str) -> None:
    path = images.make(tmp_path / "disk", *options, form=form)
    before = path.stat(), path.read_bytes()
    context = loaded(tmp_path, path, form)
    (disk,) = context.disks
    assert (disk.path, disk.format, disk.variant, disk.virtual_size) == (path, form, variant, 16 * images.MIB)
    assert disk.file_size == path.stat().st_size
    ((key, fact),) = context.told
    assert key == "source"
    assert fact == {
        "path": str(path),
        "format": form,
        "variant": variant,
        "virtual_size": 16 * images.MIB,
        "file_size": path.stat().st_size,
    }
    assert (path.stat().st_mtime_ns, path.stat().st_ctime_ns) == (before[0].st_mtime_ns, before[0].st_ctime_ns)
    assert path.read_bytes() == before[1]


@pytest.mark.parametrize("name", [b"a,b", b"new\nline", b"-dash", b"nbd:host", b"\xff\xfe", "ü".encode()])
def test_the_reference_works_for_any_name(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    images.make(tmp_path / "disk", form="qcow2").rename(path)
    (disk,) = loaded(tmp_path, os.fsdecode(os.fsencode(path)), "qcow2").disks
    assert disk.path == path
    assert qemu_img.info(qemu_img.Source(over_paths(disk, tmp_path / "work", "disk1"))).virtual_size == 16 * images.MIB
    with opened(disk) as source:
        assert qemu_img.info(source).virtual_size == 16 * images.MIB


def test_a_hostile_name_is_told_harmlessly(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\nb\x1b[2J\xff.raw")
    path.write_bytes(b"x" * 1000)
    context = loaded(tmp_path, str(path), "raw")
    assert context.told[0][1]["path"].endswith(r"a\nb\x1b[2J\udcff.raw")  # type: ignore[index]
    assert context.warnings[0].message.isprintable()
    with raises_problem("source-type-mismatch") as caught:
        loaded(tmp_path, str(path), "qcow2")
    assert caught[0].message.isprintable()


def test_raw_of_an_odd_size(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x" * 100_000)
    context = loaded(tmp_path, tmp_path / "disk", "raw")
    assert context.disks[0].virtual_size == 100_352
    assert [warning.code for warning in context.warnings] == ["image-unclean"]


def test_a_promised_size_and_checksum_are_held(tmp_path: Path) -> None:
    path = images.make(tmp_path / "disk.qcow2")
    right = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    context = loaded(tmp_path, path, "qcow2", size=path.stat().st_size, checksum=right.upper().replace("SHA", "sha"))
    assert context.checks == [("source-checksum", True, right)]
    assert context.told[0][1]["checksum"] == right  # type: ignore[index]
    assert context.moves[-1] == (path.stat().st_size,) * 2


def test_a_promise_that_is_broken(tmp_path: Path) -> None:
    path = images.make(tmp_path / "disk.qcow2")
    with raises_problem("source-changed", "manifest says 5"):
        loaded(tmp_path, path, "qcow2", size=5)
    with raises_problem("source-changed", "checksum"):
        loaded(tmp_path, path, "qcow2", checksum="sha256:" + "0" * 64)


def test_checksums_on_request(tmp_path: Path) -> None:
    path = images.make(tmp_path / "disk.vdi")
    context = loaded(tmp_path, path, "vdi", checksums=True)
    assert context.told[0][1]["checksum"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()  # type: ignore[index]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    loaded(tmp_path, images.make(tmp_path / "disk.vdi"), "vdi")
    with raises_problem("source-type-mismatch"):
        loaded(tmp_path, tmp_path / "disk.vdi", "raw")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("form", ["qcow2", "vdi", "vmdk"])
def test_half_an_image(tmp_path: Path, form: str) -> None:
    path = images.make(tmp_path / "disk", form=form)
    images.cut(path, path.stat().st_size // 2)
    with raises_problem("image-truncated"):
        loaded(tmp_path, path, form)


def test_qemu_and_header_must_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = images.make(tmp_path / "disk.qcow2")
    answers = {
        '{"format": "vmdk", "virtual-size": 16777216}': "image-invalid",
        '{"format": "qcow2", "virtual-size": 16777728}': "image-invalid",
        '{"format": "qcow2", "virtual-size": 16777216, "backing-filename": "/etc/passwd"}': "image-backing",
    }
    for answer, code in answers.items():
        fake_qemu_img(tmp_path, monkeypatch, f"echo '{answer}'")
        with raises_problem(code):
            loaded(tmp_path, path, "qcow2")


def leaks(image: Path, *options: str) -> bool:
    """Whether a bare qemu-img copies the canary into its output."""
    output = image.with_name("leaked.raw")
    subprocess.run(["qemu-img", "convert", *options, "-O", "raw", image, output], check=True, capture_output=True)
    return b"canary: no guest" in output.read_bytes()


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "canary").write_bytes(CANARY)
    return tmp_path / "secret" / "canary"


@pytest.mark.parametrize("padding", [0, 512, 65536])
def test_a_descriptor_that_names_a_file_of_the_host(tmp_path: Path, canary: Path, padding: int) -> None:
    text = images.descriptor("monolithicFlat", f'RW 128 FLAT "{canary}" 0')
    (tmp_path / "disk.vmdk").write_bytes(text.ljust(padding, b"\0"))
    assert leaks(tmp_path / "disk.vmdk")
    with raises_problem("source-outside"):
        loaded(tmp_path, tmp_path / "disk.vmdk", "vmdk")
    for trusted in (False, True):
        with raises_problem("source-type-mismatch"):
            loaded(tmp_path, tmp_path / "disk.vmdk", "raw", trusted=trusted)


def test_a_sparse_header_that_hands_over_to_a_descriptor(tmp_path: Path, canary: Path) -> None:
    text = images.descriptor("monolithicFlat", f'RW 128 FLAT "{canary}" 0').ljust(20 * 512, b"\0")
    header = images.vmdk_header(capacity=0, directory=21, flags=1, deflate=0)
    (tmp_path / "disk.vmdk").write_bytes((header + text).ljust(65536, b"\0"))
    assert leaks(tmp_path / "disk.vmdk", "-f", "vmdk")
    with raises_problem("image-invalid"):
        loaded(tmp_path, tmp_path / "disk.vmdk", "vmdk")


def test_a_sparse_vmdk_with_a_parent(tmp_path: Path, canary: Path) -> None:
    base = images.descriptor("monolithicFlat", f'RW 128 FLAT "{canary}" 0')
    (tmp_path / "base.vmdk").write_bytes(base)
    (tmp_path / "away").mkdir()
    top = tmp_path / "away" / "disk.vmdk"
    images.qemu_img("create", "-f", "vmdk", "-b", tmp_path / "base.vmdk", "-F", "vmdk", top)
    assert leaks(top, "-f", "vmdk")
    with raises_problem("source-incomplete", "base.vmdk"):
        loaded(tmp_path, top, "vmdk")
    top.rename(tmp_path / "disk.vmdk")
    with raises_problem("source-outside", "canary"):
        loaded(tmp_path, tmp_path / "disk.vmdk", "vmdk")


def test_all_files_of_a_disk_are_told_and_checked(tmp_path: Path) -> None:
    path = vmdks.esx_flat(tmp_path, "web01", vmdks.content())
    context = loaded(tmp_path, path, "vmdk", checksums=True)
    digests = {name: "sha256:" + hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in NAMES}
    fact = context.told[0][1]
    assert isinstance(fact, dict)
    assert (fact["variant"], fact["file_size"]) == ("vmfs", sum((tmp_path / name).stat().st_size for name in NAMES))
    assert fact["checksum"] == digests["web01.vmdk"]
    assert fact["files"] == [
        {"path": str(tmp_path / name), "bytes": (tmp_path / name).stat().st_size, "checksum": digests[name]}
        for name in NAMES
    ]
    promised = digests["web01.vmdk"]
    loaded(tmp_path, path, "vmdk", checksum=promised, size=path.stat().st_size)


def test_a_backing_file(tmp_path: Path, canary: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    images.qemu_img("create", "-f", "qcow2", "-b", canary, "-F", "raw", home / "disk.qcow2")
    assert leaks(home / "disk.qcow2", "-f", "qcow2")
    with raises_problem("source-outside"):
        loaded(home, home / "disk.qcow2", "qcow2")
    with raises_problem("source-type-mismatch"):
        loaded(home, home / "disk.qcow2", "raw")


def test_a_data_file(tmp_path: Path, canary: Path) -> None:
    options = f"data_file={tmp_path}/data,data_file_raw=on"
    images.qemu_img("create", "-f", "qcow2", "-o", options, tmp_path / "disk.qcow2", "64K")
    canary.rename(tmp_path / "data")
    assert leaks(tmp_path / "disk.qcow2", "-f", "qcow2")
    with raises_problem("image-backing"):
        loaded(tmp_path, tmp_path / "disk.qcow2", "qcow2")


def test_the_reference_cannot_reach_another_file(tmp_path: Path, canary: Path) -> None:
    """A second line of defence: should a backing file get past the judges, qemu still does not open it."""
    images.qemu_img("create", "-f", "qcow2", "-b", canary, "-F", "raw", tmp_path / "disk.qcow2")
    reference = qemu_img.reference(tmp_path / "disk.qcow2", "qcow2")
    output = tmp_path / "out.raw"
    images.qemu_img("convert", "-O", "raw", reference, output)
    assert b"canary" not in output.read_bytes()
