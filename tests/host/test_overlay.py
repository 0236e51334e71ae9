"""An overlay holds what was changed; the source below it is read as it was judged, and stays."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from hypersdkd.host.boot_record import may_boot
from hypersdkd.host.overlay import make_overlay, overlaid
from hypersdkd.host.source_graph import opened
from hypersdkd.model.disk import FileNode, ImageNode
from tests.guests.tiny import tiny_guest
from tests.host.test_source_graph import content, disk_of
from tests.images import MIB, qemu_img
from tests.problems import raises_problem


def test_what_is_changed_lies_over_the_source(tmp_path: Path) -> None:
    noise = random.Random(7).randbytes(2 * MIB)
    path = tmp_path / os.fsdecode(b"\xff.raw")
    path.write_bytes(noise)
    disk = disk_of(ImageNode("raw", FileNode(0)), path)
    disk = type(disk)(disk.files, disk.graph, 2 * MIB - 100, len(noise))  # not whole sectors
    (tmp_path / "work").mkdir()
    overlay = make_overlay(disk, tmp_path / "work", 0)
    write = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 64k 64k", str(overlay)]
    subprocess.run(write, check=True, capture_output=True)
    changed = overlaid(disk, overlay)
    assert (changed.path, changed.format, changed.virtual_size) == (path, "qcow2", disk.virtual_size)
    with opened(changed) as source:
        assert content(source, tmp_path / "out") == noise[:65536] + bytes([7]) * 65536 + noise[131072:]
    assert path.read_bytes() == noise
    subprocess.run(write, check=True, capture_output=True)
    with raises_problem("source-changed"), opened(changed):
        pass


def test_a_source_that_cannot_be_named_in_an_overlay(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200) / ("e" * 200) / ("f" * 200) / ("g" * 200) / ("h" * 200)
    deep.mkdir(parents=True)
    (deep / "disk.raw").write_bytes(bytes(512))
    with raises_problem("image-limits"):
        make_overlay(disk_of(ImageNode("raw", FileNode(0)), deep / "disk.raw"), tmp_path, 0)


def test_whether_a_disk_may_boot(tmp_path: Path) -> None:
    guest = tiny_guest(tmp_path / "guest.raw")
    qemu_img("convert", "-O", "qcow2", guest, tmp_path / "guest.qcow2")
    (tmp_path / "data.raw").write_bytes(bytes(MIB))
    (tmp_path / "short.raw").write_bytes(b"x")
    (tmp_path / "empty.raw").write_bytes(bytes(510) + b"\x55\xaa")
    names = ["empty.raw", "guest.raw", "guest.qcow2", "data.raw", "short.raw"]
    disks = [disk_of(ImageNode(name.rpartition(".")[2], FileNode(0)), tmp_path / name) for name in names]
    found = list(map(may_boot, disks))
    assert found == [False, True, True, False, False]
