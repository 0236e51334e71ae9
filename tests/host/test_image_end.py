"""An image that is still being written is told from one that is whole."""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from hypersdkd.host import image_end
from hypersdkd.host.image_end import incomplete
from tests import appliances, images, vmdks


@pytest.mark.parametrize("name", ["disk.qcow2", "disk.vdi", "disk.vmdk", "disk.raw"])
def test_whole(tmp_path: Path, name: str) -> None:
    assert incomplete(images.make(tmp_path / name)) == ""


def test_whole_with_a_footer(tmp_path: Path) -> None:
    assert incomplete(images.footered_vmdk(tmp_path / "disk.vmdk")) == ""


@pytest.mark.parametrize("name", ["disk.qcow2", "disk.vdi", "disk.vmdk"])
def test_a_copy_in_order_is_incomplete_until_its_end(tmp_path: Path, name: str) -> None:
    whole = images.make(tmp_path / name).read_bytes()
    for part in range(0, 20):
        (tmp_path / name).write_bytes(whole[: len(whole) * part // 20])
        assert incomplete(tmp_path / name), part


def test_a_footered_copy_in_order(tmp_path: Path) -> None:
    path = images.footered_vmdk(tmp_path / "disk.vmdk")
    for size in range(path.stat().st_size - 1, 0, -100_001):
        assert incomplete(images.cut(path, size)), size


@pytest.mark.parametrize("name", ["disk.qcow2", "disk.vmdk", "disk.vdi", "DISK.VMDK"])
def test_space_that_was_only_set_aside(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(images.MIB)
    assert "zeros" in incomplete(tmp_path / name)


def test_a_stream_whose_space_was_only_set_aside(tmp_path: Path) -> None:
    """Its tables come first, and are all there."""
    path = images.make(tmp_path / "disk.vmdk", "subformat=streamOptimized")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    assert "zeros" in incomplete(path)


def test_a_vhd_without_its_footer(tmp_path: Path) -> None:
    path = images.make(tmp_path / "disk.vhd", form="vpc")
    assert incomplete(path) == ""
    assert "footer" in incomplete(images.cut(path, path.stat().st_size - 512))


def test_parts_and_snapshots_of_vmdks(tmp_path: Path) -> None:
    """Their tables tell as much as those of a whole disk."""
    vmdks.made_by_qemu(tmp_path, "twoGbMaxExtentSparse", name="split.vmdk")
    parts = [tmp_path / "split-s001.vmdk", *(tmp_path / name for name in ("a", "b", "snapshot.vmdk"))]
    vmdks.cowd(parts[1], vmdks.ODD, {4096: vmdks.noise(8192)})
    vmdks.sesparse(parts[2], vmdks.ODD, {4096: vmdks.noise(8192)})
    vmdks.hosted_snapshot(parts[3], tmp_path / "split.vmdk", {4096: vmdks.noise(8192)})
    for part in parts:
        assert incomplete(part) == "", part
        assert part.name in incomplete(images.cut(part, part.stat().st_size // 2))


# -- appliances and cloud images -------------------------------------------------------------------------


def appliance(here: Path, name: str = "web01.ova") -> Path:
    image = images.make(here / "disk1.vmdk", "subformat=streamOptimized", size=4 * images.MIB).read_bytes()
    text = appliances.ovf([{"file": "disk1.vmdk", "capacity": 4}])
    members = {"web01.ovf": text, "notes.txt": b"", "disk1.vmdk": image, "web01.mf": b"SHA1(a)="}
    return appliances.ova(here / name, members)


def test_an_archive_is_incomplete_until_its_last_member_is_there(tmp_path: Path) -> None:
    path = appliance(tmp_path)
    whole = path.read_bytes()
    assert incomplete(path) == ""
    end = len(whole.rstrip(b"\0"))
    for size in (512, 1024, *range(5000, end, 60_007), end - 20, end, 512 * (end // 512) + 512):
        path.write_bytes(whole[:size])
        assert path.name in incomplete(path), size
    path.write_bytes(b"no archive")  # no copy stops within the first block: this is all of it, and it fails when taken
    assert incomplete(path) == ""


@pytest.mark.parametrize("part", [0.0, 0.4, 0.9])
def test_an_archive_whose_space_was_only_set_aside(tmp_path: Path, part: float) -> None:
    path = appliance(tmp_path)
    whole = path.read_bytes()
    kept = int(len(whole) * part)
    path.write_bytes(whole[:kept] + bytes(len(whole) - kept))
    assert incomplete(path)


def test_an_archive_of_raw_disks_and_one_that_is_bad(tmp_path: Path) -> None:
    assert incomplete(appliances.ova(tmp_path / "a.ami", {"disk.raw": bytes(5000), "empty.vmdk": b""})) == ""
    assert incomplete(appliances.ova(tmp_path / "a.ova", {"../out": b"words"})) == ""
    (tmp_path / "b.ova").write_bytes(b"words" * 500)
    assert incomplete(tmp_path / "b.ova") == ""


def test_a_descriptor_ends_with_its_envelope(tmp_path: Path) -> None:
    text = appliances.ovf([{"file": "disk1.vmdk"}])
    path = tmp_path / "web01.ovf"
    for size in (1, 5, 30, 200, len(text) // 2, len(text) - 1):
        path.write_bytes(text[:size])
        assert "text" in incomplete(path), size
    path.write_bytes(text[: len(text) // 2] + bytes(len(text) // 2))
    assert "text" in incomplete(path)
    for whole in (text, text + b"\n", b"no XML", b"<a/>", text + b" " * (4 << 20)):
        path.write_bytes(whole)
        assert incomplete(path) == ""


@pytest.mark.parametrize("pack", [appliances.gz, lambda data: lzma.compress(data, preset=0), zstd.compress])
def test_a_compressed_cloud_image(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(appliances.ova(tmp_path / "disk.tar", {"disk.raw": vmdks.noise(300_000)}).read_bytes())
    path = tmp_path / "disk.ami"
    path.write_bytes(whole)
    assert incomplete(path) == ""
    for part in range(1, 20):
        path.write_bytes(whole[: len(whole) * part // 20])
        assert path.name in incomplete(path), part


def test_what_is_bad_but_whole_is_not_incomplete(tmp_path: Path) -> None:
    images.raw_disk(tmp_path / "base")
    images.qemu_img("create", "-f", "qcow2", "-b", "base", "-F", "raw", tmp_path / "disk.qcow2")
    assert incomplete(tmp_path / "disk.qcow2") == ""
    (tmp_path / "text.vmdk").write_bytes(images.descriptor("monolithicFlat"))
    assert incomplete(tmp_path / "text.vmdk") == ""


def test_what_takes_too_long_counts_as_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = images.make(tmp_path / "disk.qcow2")
    assert incomplete(images.cut(path, path.stat().st_size // 2))
    monkeypatch.setattr(image_end, "_SECONDS", -1.0)
    assert incomplete(path) == ""


def test_what_is_no_regular_file_is_nothing_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "disk.vmdk")
    assert incomplete(tmp_path / "disk.vmdk") == ""


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        incomplete(tmp_path / "disk.vmdk")
