"""A guest's one appliance: launched when it is asked for, its problem told again, its changes kept or gone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from hypersdkd.engine import guest_session as module
from hypersdkd.engine.guest_session import GuestSession
from hypersdkd.host.appliance_cache import ApplianceFiles
from hypersdkd.host.guest_inspection import Inspected
from hypersdkd.host.image_source import fingerprint
from hypersdkd.model.disk import SourceDisk, SourceFile
from hypersdkd.model.file_change import FileChange
from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import Problem, fail
from hypersdkd.spec.ports import LentDisks
from tests.guests.tiny import tiny_guest
from tests.images import raw_disk
from tests.plugins.paper_system import PaperSystem
from tests.problems import raises_problem


class Heard:
    """Keeps what a session says."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.tools: list[str] = []
        self.changes: list[str] = []

    def warn(self, problem: Problem) -> None:
        self.warnings.append(problem.code)

    def tool(self, name: str, version: str) -> None:
        self.tools.append(f"{name} {version}")

    def changed(self, change: FileChange) -> None:
        self.changes.append(change.path)


class PaperAppliance:
    """An appliance without a machine."""

    version = "1.48"
    slow = "KVM hangs"
    guestfs = None
    ended: ClassVar[list[str]] = []
    launches: ClassVar[list[Sequence[Path]]] = []

    @classmethod
    def launch(cls, overlays: Sequence[Path], _scratch: Path, _files: ApplianceFiles) -> PaperAppliance:
        cls.launches.append(overlays)
        return cls()

    def shut_down(self) -> None:
        self.ended.append("shut down")

    def close(self) -> None:
        self.ended.append("closed")


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> type[PaperAppliance]:
    """The guest is on paper; the overlays are real."""
    files = PaperSystem({"/etc/fstab": "old", "/usr/bin/vmtoolsd": ""}).paper
    warning = Problem("guest-damaged", "/srv")
    found = Inspected(GuestFacts(os_type="linux"), (warning,))
    monkeypatch.setattr(PaperAppliance, "ended", [])
    monkeypatch.setattr(PaperAppliance, "launches", [])
    monkeypatch.setattr(module, "Appliance", PaperAppliance)
    monkeypatch.setattr(module, "ApplianceGuest", lambda _appliance, _scratch: files)
    monkeypatch.setattr(module, "inspect", lambda _guestfs, _keys: found)
    monkeypatch.setattr(module, "prepare", lambda cache: ApplianceFiles(cache, ""))
    return PaperAppliance


def session(tmp_path: Path, heard: Heard | None = None, **inspect: object) -> GuestSession:
    (tmp_path / "work").mkdir(exist_ok=True)
    return GuestSession(tmp_path / "work", tmp_path / "cache", heard or Heard(), inspect)


def disk(path: Path) -> SourceDisk:
    fd = os.open(path, os.O_RDONLY)
    file = SourceFile(path, fingerprint(fd))
    os.close(fd)
    return SourceDisk.of_file(file, "raw", path.stat().st_size, path.stat().st_size)


@pytest.fixture
def disks(tmp_path: Path) -> list[SourceDisk]:
    """One that may boot, and one with data."""
    return [disk(tiny_guest(tmp_path / "system.raw")), disk(raw_disk(tmp_path / "data.raw", 2 << 20))]


def test_what_was_changed_lies_over_the_disks(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance]
) -> None:
    heard = Heard()
    opened = session(tmp_path, heard)
    system = opened.system(disks)
    assert opened.system(disks) is system
    assert system.facts.virtualization_tools == ("open-vm-tools",)
    system.write("/etc/fstab", b"new")
    fixed = opened.end()
    assert fixed is not None
    assert [(each.path, each.format, len(each.files)) for each in fixed] == [
        (disks[0].path, "qcow2", 2),
        (disks[1].path, "qcow2", 2),
    ]
    assert [len(overlays) for overlays in paper.launches] == [2]
    assert paper.ended == ["shut down"]
    assert (heard.warnings, heard.tools) == (["appliance-slow", "guest-damaged"], ["libguestfs 1.48"])
    assert heard.changes == ["/etc/fstab"]


def test_what_was_not_changed_is_converted_as_it_is(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance]
) -> None:
    opened = session(tmp_path)
    assert opened.end() is None
    opened.system(disks).write("/etc/fstab", b"old")
    assert opened.end() is None
    opened.close()
    assert paper.ended == ["shut down"]


def test_an_attempt_that_fails_ends_it_at_once(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance]
) -> None:
    opened = session(tmp_path)
    opened.system(disks).write("/etc/fstab", b"new")
    opened.close()
    opened.close()
    assert paper.ended == ["closed"]
    assert opened.end() is None


def test_disks_that_cannot_boot_need_no_appliance(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance]
) -> None:
    opened = session(tmp_path)
    for _again in range(2):
        with raises_problem("guest-no-system", "boot record"):
            opened.system(disks[1:])
    assert opened.problem is not None
    assert paper.launches == []


def test_a_problem_stays_the_same(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_guestfs: object, _keys: object) -> Inspected:
        raise fail("guest-encrypted", "no key")

    monkeypatch.setattr(module, "inspect", locked)
    opened = session(tmp_path)
    for _again in range(2):
        with raises_problem("guest-encrypted"):
            opened.system(disks)
    assert paper.ended == ["closed"]
    assert len(paper.launches) == 1
    with raises_problem("guest-key-unusable"):
        session(tmp_path, luks_key_file=str(tmp_path / "none")).system(disks)


def test_what_is_missing_is_told_when_it_is_needed(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_cache: Path) -> ApplianceFiles:
        raise fail("appliance-missing", "no binding")

    monkeypatch.setattr(module, "prepare", missing)
    opened = session(tmp_path)
    opened.prepare()
    with raises_problem("appliance-missing"):
        opened.system(disks)
    assert paper.launches == []


def test_a_program_changes_the_overlays(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "prepare", lambda cache: ApplianceFiles(cache, "KVM hangs"))
    opened = session(tmp_path)
    lent: list[LentDisks] = []
    opened.change_disks(disks, lent.append)
    assert paper.ended == ["shut down"]
    assert lent[0].overlays == tuple(paper.launches[0])
    assert lent[0].environment == {
        "LIBGUESTFS_BACKEND": "direct",
        "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
        "LIBGUESTFS_PATH": str(tmp_path / "cache"),
    }
    fixed = opened.end()
    assert fixed is not None and [each.format for each in fixed] == ["qcow2", "qcow2"]


def test_what_a_program_left_half_done_is_not_used(
    tmp_path: Path, disks: list[SourceDisk], paper: type[PaperAppliance]
) -> None:
    def half(_lent: LentDisks) -> None:
        raise fail("virt-v2v-failed", "no")

    opened = session(tmp_path)
    opened.system(disks).write("/etc/fstab", b"new")
    with raises_problem("virt-v2v-failed"):
        opened.change_disks(disks, half)
    assert opened.end() is None
