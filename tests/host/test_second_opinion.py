"""The second judge agrees on what is good, and objects by itself to what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.host import second_opinion
from hypersdkd.host.image_file import opened
from tests import images
from tests.problems import raises_problem


def ask(path: Path, form: str) -> None:
    with opened(path) as image:
        second_opinion.confirm(image, form)


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("qcow2", ()),
        ("qcow2", ("compat=0.10",)),
        ("qcow2", ("extended_l2=on", "cluster_size=128k")),
        ("vmdk", ()),
        ("vmdk", ("subformat=streamOptimized",)),
        ("vdi", ()),
    ],
)
def test_good(tmp_path: Path, form: str, options: tuple[str, ...]) -> None:
    ask(images.make(tmp_path / "disk", *options, form=form), form)


def test_good_with_a_footer_and_an_umlaut(tmp_path: Path) -> None:
    text = images.descriptor(extents='RW 32768 SPARSE "Müller.vmdk"')
    ask(images.footered_vmdk(tmp_path / "disk", text=text), "vmdk")


def test_backing_file(tmp_path: Path) -> None:
    images.raw_disk(tmp_path / "base")
    images.qemu_img("create", "-f", "qcow2", "-b", "base", "-F", "raw", tmp_path / "disk")
    with raises_problem("image-unsupported", "backing"):
        ask(tmp_path / "disk", "qcow2")


def test_a_foreign_extent(tmp_path: Path) -> None:
    text = images.descriptor(extents='RW 32768 SPARSE "/etc/passwd"')
    with raises_problem("image-unsupported", "descriptor"):
        ask(images.footered_vmdk(tmp_path / "disk", text=text), "vmdk")


def test_a_footer_of_another_disk(tmp_path: Path) -> None:
    path = images.footered_vmdk(tmp_path / "disk")
    images.patch(path, path.stat().st_size - 1024 + 28, b"\2")
    with raises_problem("image-unsupported", "footer"):
        ask(path, "vmdk")


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi"])
def test_nonsense(tmp_path: Path, form: str) -> None:
    (tmp_path / "disk").write_bytes(b"\0\1nonsense" * 5000)
    with raises_problem("image-unsupported"):
        ask(tmp_path / "disk", form)


def test_a_format_that_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x")
    with raises_problem("image-unsupported", "second judge"):
        ask(tmp_path / "disk", "bochs")
