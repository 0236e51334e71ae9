"""Which files beside it a dropped file needs; what is not understood needs nothing."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.host.companions import ALONE, Needs, needed_beside, needs_of
from tests import images, vhds, vmdks

OVF = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References>{files}</References>
  <VirtualSystem><File ovf:href="not-a-reference.vmdk"/></VirtualSystem>
</Envelope>"""


def needs(path: Path) -> Needs:
    fd = os.open(path, os.O_RDONLY)
    try:
        return needs_of(fd, path.name)
    finally:
        os.close(fd)


def names(path: Path) -> list[str]:
    """Of those that are waited for."""
    return [companion.name for companion in needs(path).companions if not companion.optional]


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# -- OVF -------------------------------------------------------------------------------------------------


def test_an_ovf_needs_what_its_references_name(tmp_path: Path) -> None:
    files = '<File ovf:href="b.vmdk" ovf:id="file1" ovf:size="70000"/><File href="a.nvram" size="many"/>'
    found = needs(write(tmp_path / "guest.ovf", OVF.format(files=files)))
    assert {one.name: (one.least, one.optional) for one in found.companions} == {
        "guest.mf": (0, True),
        "guest.cert": (0, True),
        "b.vmdk": (70000, False),
        "a.nvram": (0, False),
    }
    assert not found.extent


@pytest.mark.parametrize("href", ["./my disk.vmdk", "my%20disk.vmdk", "./my%20disk.vmdk", "my disk.vmdk"])
def test_a_reference_is_the_file_that_it_means(tmp_path: Path, href: str) -> None:
    assert names(write(tmp_path / "guest.ovf", OVF.format(files=f'<File ovf:href="{href}"/>'))) == ["my disk.vmdk"]


@pytest.mark.parametrize(
    "href",
    [
        "../b.vmdk",
        "%2e%2e/b.vmdk",
        "..%2fb.vmdk",
        "b%00.vmdk",
        "./guest.ovf",
        "/etc/passwd",
        "http://host/b.vmdk",
        "sub/b.vmdk",
        "",
        ".",
        "..",
        "guest.ovf",
        "x" * 256,
        "\u00e9" * 128,
    ],
)
def test_a_reference_that_is_no_plain_name_of_another_is_no_companion(tmp_path: Path, href: str) -> None:
    assert names(write(tmp_path / "guest.ovf", OVF.format(files=f'<File ovf:href="{href}"/>'))) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<Envelope><References><File href='a.vmdk'/></References>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><Envelope><References><File href='a&b;.vmdk'/></References></Envelope>",
        b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><Envelope><References><File href='a.vmdk'/></References></Envelope>",
        b"<?xml version='1.0' encoding='nonsense'?><Envelope><References><File href='a'/></References></Envelope>",
        b"\xff\xfe\x00",
        b"<a>" * 100_000,
    ],
)
def test_what_is_no_ovf_needs_nothing(tmp_path: Path, text: bytes) -> None:
    assert needs(write(tmp_path / "guest.ovf", text)) == ALONE


def test_an_ovf_is_read_within_limits(tmp_path: Path) -> None:
    many = "".join(f'<File href="{number}.vmdk"/>' for number in range(1500))
    assert len(names(write(tmp_path / "many.ovf", OVF.format(files=many)))) == 1000
    large = write(tmp_path / "large.ovf", OVF.format(files='<File href="a.vmdk"/>') + " " * (4 << 20))
    assert needs(large) == ALONE


# -- documents -------------------------------------------------------------------------------------------


def test_a_document_needs_the_files_beside_it_that_it_reads(tmp_path: Path) -> None:
    jobs = {"jobs": [{"input": "a.vmdk"}, {"input": "./b.img"}, {"input": "/srv/c.img"}, {"input": "sub/d.img"}]}
    assert names(write(tmp_path / "jobs.json", json.dumps(jobs))) == ["a.vmdk", "b.img"]
    assert names(write(tmp_path / "one.YML", "input: one.qcow2\n")) == ["one.qcow2"]
    assert needs(write(tmp_path / "self.yaml", "input: self.yaml\n")) == ALONE
    large = write(tmp_path / "large.yaml", "input: a.vmdk\n")
    os.truncate(large, 11 << 20)
    assert needs(large) == ALONE


# -- VMDK ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "extents"),
    [
        ("monolithicFlat", ["disk-flat.vmdk"]),
        ("twoGbMaxExtentFlat", ["disk-f001.vmdk"]),
        ("twoGbMaxExtentSparse", ["disk-s001.vmdk"]),
    ],
)
def test_a_descriptor_needs_its_extents(tmp_path: Path, kind: str, extents: list[str]) -> None:
    path = vmdks.made_by_qemu(tmp_path, kind)
    assert names(path) == extents
    least = {one.name: one.least for one in needs(path).companions}
    assert least == {"disk-ctk.vmdk": 0, extents[0]: 0 if "Sparse" in kind else vmdks.ODD}
    for extent in extents:
        assert needs(tmp_path / extent) == Needs(extent=True)


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
def test_a_disk_in_one_file_needs_nothing_whatever_it_is_called(tmp_path: Path, kind: str) -> None:
    path = vmdks.made_by_qemu(tmp_path, kind)
    for name in ("disk.vmdk", "renamed.vmdk", "disk-s001.vmdk"):
        path = path.rename(tmp_path / name)
        assert needs(path) == ALONE


def test_a_snapshot_needs_its_parent_by_its_name_alone(tmp_path: Path) -> None:
    vmdks.esx_flat(tmp_path, "web", vmdks.content())
    hint = "/vmfs/volumes/store/web/web.vmdk"
    top = vmdks.esx_delta(tmp_path, "web-000001", hint, vmdks.ODD, {}, cid=2)
    assert names(top) == ["web.vmdk", "web-000001-delta.vmdk"]
    assert needs(tmp_path / "web-000001-delta.vmdk") == Needs(extent=True)
    base = vmdks.made_by_qemu(tmp_path, "monolithicSparse", name="base.vmdk")
    assert names(vmdks.hosted_snapshot(tmp_path / "snap.vmdk", base, {})) == ["base.vmdk"]


def test_a_flat_extent_is_told_by_its_name_whatever_a_guest_wrote_there(tmp_path: Path) -> None:
    text = vmdks.text("monolithicFlat", 'RW 8 FLAT "other.vmdk" 0')
    for name in ("web-flat.vmdk", "WEB-FLAT.VMDK", "web-f001.vmdk", "web-ctk.vmdk"):
        assert needs(write(tmp_path / name, text)) == Needs(extent=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a-s001.vmdk", b"KDMV"),
        ("a-delta.vmdk", b"nothing"),
        ("a-sesparse.vmdk", b""),
    ],
)
def test_a_damaged_extent_is_one_by_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    assert needs(write(tmp_path / name, content)) == Needs(extent=True)


def test_names_in_a_descriptor_that_are_no_siblings_are_none(tmp_path: Path) -> None:
    lines = [f'RW 8 FLAT "{name}" 0' for name in ("../a", "/etc/passwd", "sub/b", "disk.vmdk", "b.bin", "b.bin")]
    path = write(tmp_path / "disk.vmdk", vmdks.text("twoGbMaxExtentFlat", *lines))
    assert names(path) == ["b.bin"]
    assert needs(write(tmp_path / "odd.vmdk", vmdks.text("odd", *lines))) == ALONE
    assert needs(write(tmp_path / "raw.vmdk", b"words")) == ALONE


# -- qcow2 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backing", "expected"),
    [
        ("base.qcow2", ["base.qcow2"]),
        ("./base.qcow2", ["base.qcow2"]),
        ("/srv/base.qcow2", []),
        ("../base.qcow2", []),
        ("nbd:host:10809", []),
        ("json:{}", []),
        ("file:base.qcow2", []),
        ("", []),
    ],
)
def test_a_qcow2_needs_its_backing_file(tmp_path: Path, backing: str, expected: list[str]) -> None:
    path = images.make(tmp_path / "top.qcow2", size=images.MIB)
    if backing:
        images.patch(path, 8, struct.pack(">QI", 512, len(backing)))
        images.patch(path, 512, backing.encode())
    assert names(path) == expected


def test_a_child_of_hyper_v_needs_its_parent(tmp_path: Path) -> None:
    vhds.sparse(tmp_path / "top.vhd", images.MIB, {}, parent=("C:\\VMs\\base.vhd", b"b" * 16))
    vhds.vhdx(tmp_path / "top.vhdx", images.MIB, {}, parent=vhds.linkage(vhds.BASE_ID))
    assert [names(tmp_path / name) for name in ("top.vhd", "top.vhdx")] == [["base.vhd"], ["base.vhdx"]]
    alone = ("base.vhdx", "dynamic", "vhdx"), ("fixed.vhd", "fixed", "vpc"), ("dynamic.vhd", "dynamic", "vpc")
    for name, kind, form in alone:
        assert needs(images.make(tmp_path / name, f"subformat={kind}", form=form)) == ALONE


def test_a_qcow2_that_makes_no_sense_needs_nothing(tmp_path: Path) -> None:
    path = images.make(tmp_path / "top.qcow2", size=images.MIB)
    for offset, length in ((512, 5000), (1 << 50, 10)):
        images.patch(path, 8, struct.pack(">QI", offset, length))
        assert needs(path) == ALONE
    assert needs(images.make(tmp_path / "a.vdi", size=images.MIB)) == ALONE


# -- VHD and VHDX ----------------------------------------------------------------------------------------


def test_a_checkpoint_is_told_by_its_content_and_the_suffix_that_hyper_v_gives_it(tmp_path: Path) -> None:
    vhds.sparse(tmp_path / "top.avhd", images.MIB, {}, parent=("C:\\VMs\\base.vhd", b"b" * 16))
    vhds.vhdx(tmp_path / "top.avhdx", images.MIB, {}, parent=vhds.linkage(vhds.BASE_ID))
    assert [names(tmp_path / name) for name in ("top.avhd", "top.avhdx")] == [["base.vhd"], ["base.vhdx"]]
    (tmp_path / "top.avhdx").rename(tmp_path / "top.raw")
    assert needs(tmp_path / "top.raw") == ALONE


# -- all that a file needs -------------------------------------------------------------------------------


def test_what_is_needed_by_what_is_needed(tmp_path: Path) -> None:
    vmdks.esx_flat(tmp_path, "web", vmdks.content())
    top = vmdks.esx_delta(tmp_path, "web-000001", "web.vmdk", vmdks.ODD, {})
    extents = ["web-000001-delta.vmdk", "web.vmdk", "web-000001-ctk.vmdk", "web-flat.vmdk", "web-ctk.vmdk"]
    assert sorted(needed_beside(top)) == sorted(extents)
    write(tmp_path / "one.yaml", "input: two.yaml\n")
    write(tmp_path / "two.yaml", "input: one.yaml\n")
    assert needed_beside(tmp_path / "one.yaml") == ["two.yaml"]
    assert needed_beside(tmp_path / "missing") == []


STARTS = st.sampled_from(
    [b"", b"KDMV", b"QFI\xfb", b"# Disk DescriptorFile\n", b"<Envelope>", b"{", b"COWD", b"conectix", b"vhdxfile"]
)
NAMES = st.sampled_from(
    ["a.vmdk", "a.qcow2", "a.ovf", "a.json", "a.yaml", "a.raw", "a.vhd", "a.vhdx", "a-s001.vmdk", "a", "\n.vmdk"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(NAMES, STARTS, st.binary(max_size=1200))
def test_nothing_is_raised_for_any_content(tmp_path: Path, name: str, start: bytes, rest: bytes) -> None:
    found = needs(write(tmp_path / name, start + rest))
    assert all("/" not in one.name and one.name for one in found.companions)
