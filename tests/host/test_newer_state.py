"""Who names a disk whose snapshots lie beside it is told so: its content is an older state of the guest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hypersdkd.host.newer_state import newer_states, warning_of
from tests import images, vhds, vmdks

SIZE = 16 * images.MIB
GUID = "0F1A2B3C-1111-2222-3333-0123456789AB"


def esx_chain(here: Path) -> list[str]:
    vmdks.esx_flat(here, "web01", bytes(65536))
    vmdks.esx_delta(here, "web01-000001", "web01.vmdk", 65536, {})
    vmdks.esx_delta(here, "web01-000002", "web01-000001.vmdk", 65536, {})
    return ["web01.vmdk", "web01-000001.vmdk", "web01-000002.vmdk"]


def checkpoints(here: Path) -> list[str]:
    names = ["web01.vhd", f"web01_{GUID}.avhd", f"web01_{GUID[::-1]}.avhd"]
    vhds.fixed(here / names[0], bytes(65536))
    vhds.sparse(here / names[1], 65536, {}, parent=(f"C:\\VMs\\{names[0]}", b"f" * 16), uid=b"1" * 16)
    vhds.sparse(here / names[2], 65536, {}, parent=(f"C:\\VMs\\{names[1]}", b"1" * 16))
    return names


def overlays(here: Path) -> list[str]:
    images.make(here / "web01.qcow2", form="qcow2")
    images.qemu_img("create", "-f", "qcow2", "-b", here / "web01.qcow2", "-F", "qcow2", here / "web01.snap1")
    images.qemu_img("create", "-f", "qcow2", "-b", here / "web01.snap1", "-F", "qcow2", here / "web01.snap2")
    return ["web01.qcow2", "web01.snap1", "web01.snap2"]


@pytest.mark.parametrize("make", [esx_chain, checkpoints, overlays])
def test_the_newest_of_a_chain_is_named(tmp_path: Path, make: object) -> None:
    *older, newest = make(tmp_path)  # type: ignore[operator]
    assert newer_states(tmp_path / newest) == []
    assert warning_of(tmp_path / newest) is None
    assert newer_states(tmp_path / older[0]) == [newest]
    warning = warning_of(tmp_path / older[0])
    assert warning is not None
    assert (warning.code, newest in warning.message, newest in warning.remedy) == ("image-snapshots", True, True)


def test_where_the_directory_may_not_be_listed_vmwares_names_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_path: object) -> None:
        raise PermissionError

    names = [*esx_chain(tmp_path), *overlays(tmp_path)]
    monkeypatch.setattr("os.scandir", refused)
    assert newer_states(tmp_path / names[0]) == [names[2]]
    assert newer_states(tmp_path / names[1]) == [names[2]]
    assert newer_states(tmp_path / names[3]) == []


def test_the_middle_of_a_chain_of_vmware(tmp_path: Path) -> None:
    assert newer_states(tmp_path / esx_chain(tmp_path)[1]) == ["web01-000002.vmdk"]


def test_branches_are_all_named(tmp_path: Path) -> None:
    esx_chain(tmp_path)
    for number in range(3, 9):
        vmdks.esx_delta(tmp_path, f"web01-00000{number}", "web01.vmdk", 65536, {})
    warning = warning_of(tmp_path / "web01.vmdk")
    assert warning is not None
    assert warning.message.startswith("web01-000002.vmdk, web01-000003.vmdk, web01-000004.vmdk and 4 more beside it")


def test_what_is_no_snapshot_of_it_tells_nothing(tmp_path: Path) -> None:
    vmdks.esx_flat(tmp_path, "web01", bytes(65536))
    vmdks.esx_delta(tmp_path, "web012-000001", "web012.vmdk", 65536, {})
    (tmp_path / "web01.vmx").write_text("x")
    (tmp_path / "web01-cut.vmdk").write_bytes(b"KDMV")
    (tmp_path / "web01-dir.vmdk").mkdir()
    os.mkfifo(tmp_path / "web01-fifo.vmdk")
    (tmp_path / "web01-link.vmdk").symlink_to("/etc/passwd")
    shutil.copy(tmp_path / "web01.vmdk", tmp_path / "web01-copy.vmdk")
    assert newer_states(tmp_path / "web01.vmdk") == []
    assert newer_states(tmp_path / "gone" / "web01.vmdk") == []


def test_snapshots_of_each_other_end(tmp_path: Path) -> None:
    vmdks.esx_delta(tmp_path, "web01-000001", "web01-000002.vmdk", 65536, {})
    vmdks.esx_delta(tmp_path, "web01-000002", "web01-000001.vmdk", 65536, {})
    assert newer_states(tmp_path / "web01-000001.vmdk") == ["web01-000002.vmdk"]
