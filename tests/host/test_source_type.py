"""Which type a manifest names: content first, the name where content shows none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.host.image_file import opened
from hypersdkd.host.source_type import type_by_content, type_by_name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.vmdk", "vmdk"),
        ("a.VHDX", "vhdx"),
        ("a.img", "raw"),
        ("a.vpc", "vhd"),
        ("a.tar", "vmdk"),
        ("a", "vmdk"),
        ("/x.ova/a.qcow2", "qcow2"),
        (".vdi", "vmdk"),
    ],
)
def test_by_name(name: str, found: str) -> None:
    assert type_by_name(name) == found


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        (b"KDMV" + b"\0" * 600, "a.raw", "vmdk"),
        (b"QFI\xfb\0\0\0\x03" + b"\0" * 600, "a.vmdk", "qcow2"),
        (b"\0" * 1024, "a.vmdk", "raw"),  # a VMDK would show
        (b"\0" * 1024, "a.ami", "ami"),
        (b"no xml", "a.ovf", "ovf"),
        (b"\x1f\x8b" + b"\0" * 600, "a.tar.gz", "ami"),  # what is compressed is a cloud image,
        (b"\x1f\x8b" + b"\0" * 600, "a.ova.d/a.vmdk.gz", "ami"),
        (b"\x1f\x8b" + b"\0" * 600, "a.OVA.gz", "ova"),  # but for what is called an appliance
        (b"\x1f\x8b" + b"\0" * 600, "a.ova", "ova"),
        (b"", "a.qcow2", "raw"),
    ],
)
def test_by_content(tmp_path: Path, content: bytes, name: str, found: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with opened(tmp_path / "file") as image:
        assert type_by_content(image, name) == found
