"""No disk is lost silently, of whatever format: refused with a code where a bare qemu-img makes something of it. And no
bytes, however broken, raise anything but a problem.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.source_disk import read_disk
from hypersdkd.model.problem import ProblemError
from tests import images, vhds, vmdks

#: qemu's names of the drivers, by source type.
DRIVERS = {"vhd": "vpc"}
MAKERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "qcow2": ("qcow2", ()),
    "qcow2-v2": ("qcow2", ("compat=0.10",)),
    "vdi": ("vdi", ()),
    "vdi-static": ("vdi", ("static=on",)),
    "vmdk": ("vmdk", ("subformat=monolithicSparse",)),
    "vmdk-stream": ("vmdk", ("subformat=streamOptimized",)),
    "vhd": ("vpc", ("subformat=dynamic",)),
    "vhd-fixed": ("vpc", ("subformat=fixed",)),
    "vhdx": ("vhdx", ("subformat=dynamic",)),
    "vhdx-fixed": ("vhdx", ("subformat=fixed",)),
}
SIZE = 3 * images.MIB


@cache
def made(kind: str) -> bytes:
    """An image full of data, so that whatever is cut off is some."""
    form, options = MAKERS[kind]
    with TemporaryDirectory() as name:
        here = Path(name)
        (here / "raw").write_bytes(vmdks.noise(SIZE))
        words = [word for option in options for word in ("-o", option)]
        images.qemu_img("convert", "-f", "raw", "-O", form, *words, here / "raw", here / "disk")
        return (here / "disk").read_bytes()


def refused(path: Path, source_type: str) -> str:
    """The code with which it is refused, empty if it is not."""
    try:
        with OpenSource([path.parent], seconds=60) as source:
            source.open(str(path))
            facts, graph = read_disk(source, source_type)
            source.compare_with_qemu(graph, facts)
    except ProblemError as error:
        assert error.problem.remedy
        return error.problem.code
    return ""


def bare(path: Path, source_type: str) -> bool:
    """Whether qemu-img, left to itself, converts it and says that all is well."""
    driver = DRIVERS.get(source_type, source_type)
    words = ["qemu-img", "convert", "-f", driver, "-O", "raw", str(path), str(path.parent / "bare.raw")]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


# -- nothing lost silently -------------------------------------------------------------------------------

#: Where a bare qemu-img sees nothing, by the part of the image that is left; it is good at VHD and VHDX since 7.x.
SILENT = {
    "qcow2": (0.3, 0.5, 0.9, 0.999),
    "qcow2-v2": (0.3, 0.5, 0.9, 0.999),
    "vdi": (0.3, 0.5, 0.9, 0.999),
    "vdi-static": (0.3, 0.5, 0.9, 0.999),
    "vmdk": (0.3, 0.5, 0.9, 0.999),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("left", [0.0, 0.00002, 0.003, 0.05, 0.3, 0.5, 0.9, 0.999])
def test_an_image_that_is_cut(tmp_path: Path, kind: str, left: float) -> None:
    """In its header, its tables, its data and its tail."""
    source_type = kind.partition("-")[0]
    path = tmp_path / "disk"
    whole = made(kind)
    if kind.startswith("vhdx"):  # its last block is a short one, which the file is long enough for twice
        whole = whole[: whole.rindex(vmdks.noise(SIZE)[-64:]) + 64]
    path.write_bytes(whole)
    assert refused(path, source_type) == ""
    path.write_bytes(whole[: int(len(whole) * left)])
    assert refused(path, source_type) in {"image-empty", "image-truncated", "source-type-mismatch"}
    if left >= 0.05:
        assert refused(path, source_type) == "image-truncated"
    if left in SILENT.get(kind, ()):
        assert bare(path, source_type)


def child_vhd(path: Path) -> None:
    vhds.sparse(path, SIZE, {512: b"x" * 512}, parent=("C:\\base.vhd", b"b" * 16))


def child_vhdx(path: Path) -> None:
    vhds.vhdx(path, SIZE, {512: b"x" * 512}, parent=vhds.linkage(vhds.BASE_ID))


def child_vdi(path: Path) -> None:
    path.write_bytes(made("vdi"))
    images.patch(path, 0x4C, b"\4")


def child_vmdk(path: Path) -> None:
    vmdks.made_by_qemu(path.parent, "monolithicSparse", name="base.vmdk")
    vmdks.hosted_snapshot(path, path.parent / "base.vmdk", {0: b"x" * 512})
    (path.parent / "base.vmdk").unlink()


def child_qcow2(path: Path) -> None:
    images.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "base", "-F", "raw", path, "1M")


@pytest.mark.parametrize(
    ("source_type", "make", "code", "silent"),
    [
        ("vhd", child_vhd, "source-incomplete", True),
        ("vdi", child_vdi, "image-backing", True),
        ("vhdx", child_vhdx, "source-incomplete", False),
        ("vmdk", child_vmdk, "source-incomplete", False),
        ("qcow2", child_qcow2, "source-incomplete", False),
    ],
)
def test_a_child_without_its_parent(
    tmp_path: Path, source_type: str, make: Callable[[Path], None], code: str, silent: bool
) -> None:
    make(tmp_path / "disk")
    assert bare(tmp_path / "disk", source_type) is silent
    assert refused(tmp_path / "disk", source_type) == code


@pytest.mark.parametrize("source_type", ["raw", "qcow2", "vdi", "vmdk", "vhd", "vhdx"])
def test_an_empty_file(tmp_path: Path, source_type: str) -> None:
    (tmp_path / "disk").touch()
    assert refused(tmp_path / "disk", source_type) == "image-empty"
    assert bare(tmp_path / "disk", source_type) is (source_type == "raw")


# -- nothing but problems --------------------------------------------------------------------------------

FUZZED = [*MAKERS, "vhd-child", "vhdx-child"]


@cache
def seed(kind: str) -> bytes:
    if not kind.endswith("child"):
        return made(kind)
    with TemporaryDirectory() as name:
        (child_vhd if kind == "vhd-child" else child_vhdx)(Path(name) / "disk")
        return (Path(name) / "disk").read_bytes()


@cache
def places(kind: str) -> st.SearchStrategy[int]:
    """Where to hit: mostly where something is told, which is where the bytes are not zero, before the data."""
    raw = seed(kind)
    telling = [at for at in range(min(len(raw), 4 << 20)) if raw[at]][:600]
    telling += [len(raw) - at for at in range(1, 600) if at <= len(raw)]
    return st.sampled_from(telling) | st.integers(0, len(raw) - 1)


def judged(path: Path, source_type: str) -> None:
    """Only by us: no byte may raise anything but a problem."""
    try:
        with OpenSource([path.parent], seconds=20) as source:
            source.open(str(path))
            read_disk(source, source_type)
    except ProblemError as error:
        assert error.problem.message.isprintable()


@pytest.mark.parametrize("kind", FUZZED)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_bytes(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    raw = bytearray(seed(kind))
    for at in data.draw(st.lists(places(kind), min_size=1, max_size=6)):
        piece = data.draw(
            st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, bytes(8), b"\x7f" + bytes(7)])
        )
        raw[at : at + len(piece)] = piece[: max(len(raw) - at, 0)]
    if kind.startswith("vhdx"):  # else nothing gets past the checksums
        for start, length in ((65536, 4096), (131072, 4096), (196608, 65536)):
            raw[start : start + length] = vhds.signed(raw[start : start + length])
    if kind.startswith("vhd-") or kind == "vhd":
        raw = vhds.signed_again(raw)
    path = tmp_path / "disk"
    path.write_bytes(raw)
    judged(path, kind.partition("-")[0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"QFI\xfb\0\0\0\3", b"KDMV", b"vhdxfile", b"conectix", b"COWD", b""]),
    rest=st.binary(max_size=3000),
)
def test_rubbish(tmp_path: Path, start: bytes, rest: bytes) -> None:
    for source_type in ("raw", "qcow2", "vdi", "vmdk", "vhd", "vhdx"):
        (tmp_path / "disk").write_bytes(start + rest)
        judged(tmp_path / "disk", source_type)
