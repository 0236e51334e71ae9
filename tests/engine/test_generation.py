"""A manifest for a source that the daemon sees, and no word about one that it may not."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.cli.manifest_output import encoded
from hypersdkd.engine.generation import draft_manifest
from hypersdkd.engine.guest_files import WorkOrder, guest_run
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.source_inspection import SourcePlaces
from hypersdkd.engine.workshop import WorkerPlugins
from hypersdkd.model.guest import Guest
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.manifest_draft import ManifestDraft, ManifestWish
from hypersdkd.model.report import GuestFold
from tests.engine.guests import folded
from tests.problems import raises_problem
from tests.sources.row import EXACT, Row
from tests.sources.table import ROWS


@pytest.fixture(scope="module")
def plugins() -> WorkerPlugins:
    return WorkerPlugins.of(Plugins.load(), (), {})


@pytest.fixture
def draft(tmp_path: Path, plugins: WorkerPlugins):
    """Drafts a manifest for a source below ``root``, of the test's directory unless told otherwise."""

    def draft(path: Path | str, root: Path = tmp_path, **wishes: object) -> ManifestDraft:
        places = SourcePlaces(tmp_path / "scratch", (str(root.resolve()),), plugins)
        try:
            return asyncio.run(draft_manifest(ManifestWish(str(path), **wishes), places))  # type: ignore[arg-type]
        finally:
            assert not (tmp_path / "scratch").exists() or os.listdir(tmp_path / "scratch") == []

    return draft


#: One of each type, and of those with several files or disks the ones that have them.
GENERATED = [
    next(row for row in ROWS if row.result == EXACT and row.source_type == source_type and words in row.variant)
    for source_type, words in (
        ("vmdk", "monolithicFlat"),
        ("vmdk", "snapshot"),
        ("vhd", "dynamic"),
        ("vhdx", ""),
        ("qcow2", ""),
        ("vdi", ""),
        ("raw", ""),
        ("ova", "two disks"),
        ("ovf", ""),
        ("ami", "gz"),
        ("ova", "as a whole (.gz)"),
    )
]


def worked(guest: Guest, place: Path, plugins: WorkerPlugins) -> GuestFold:
    """How a worker fared with ``guest``, whose output is to be below ``place``; its end is the journal's."""
    out = str(place / "output" / "web01.qcow2")
    directory = place / "guest"
    directory.mkdir()
    guest = replace(guest, outputs=(out,), output_root=str(place), output_name=out)
    WorkOrder("web01.json", guest, (str(place),), (), plugins.names).write(directory)
    done = subprocess.run(
        guest_run(directory, "web01.json", "web01").command, check=False, capture_output=True, timeout=120
    )
    fold = folded(directory)
    assert (done.returncode == 0) is (fold.problem is None), done.stderr
    return fold


@pytest.mark.parametrize("row", GENERATED, ids=str)
def test_what_is_generated_is_converted_as_it_is(draft, tmp_path: Path, plugins: WorkerPlugins, row: Row) -> None:
    (tmp_path / "source").mkdir()
    made = row.make(tmp_path / "source")
    drafted = draft(made.path, checksums=True)
    validation = read_manifest(encoded(drafted.document()))
    assert (validation.problems, validation.warnings) == ((), ())
    (guest,) = validation.guests
    (source,) = guest.disks
    assert (source.source_type, source.source_path) == (row.source_type, str(made.path))
    assert source.checksum.startswith("sha256:")
    disks, files = drafted.metadata["disks"], drafted.metadata["files"]
    assert isinstance(disks, list)
    assert isinstance(files, list)
    lying = {str(path) for path in (tmp_path / "source").iterdir()}
    assert {file["path"] for file in files} == lying
    assert all(file["bytes"] == Path(file["path"]).stat().st_size for file in files)
    assert {str(tmp_path / "source" / file.path) for file in source.files} == lying - {str(made.path)}
    assert all(file.checksum.startswith("sha256:") and file.size for file in source.files)
    assert [disk["virtual_size"] for disk in disks] == [-(-len(disk) // 512) * 512 for disk in made.disks]
    done = worked(guest, tmp_path, plugins)
    assert done.problem is None
    artifacts = done.report()["artifacts"]
    assert isinstance(artifacts, Mapping)
    for output, disk in zip(artifacts["outputs"], made.disks, strict=True):
        (tmp_path / "right.raw").write_bytes(disk)
        words = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", tmp_path / "right.raw", output]
        subprocess.run(words, check=True, capture_output=True)


def test_no_other_file_is_taken_for_one_of_the_source(draft, tmp_path: Path, plugins: WorkerPlugins) -> None:
    """The descriptor is the same; what it is of is in another file."""
    made = GENERATED[0].make(tmp_path)
    (guest,) = read_manifest(encoded(draft(made.path, checksums=True).document())).guests
    flat = made.path.with_name(f"{made.path.stem}-flat.vmdk")
    flat.write_bytes(bytes(flat.stat().st_size))
    problem = worked(guest, tmp_path, plugins).problem
    assert problem is not None
    assert (problem.code, flat.name in problem.message) == ("source-changed", True)


def test_what_an_appliance_tells_of_its_hardware(draft, tmp_path: Path) -> None:
    made = GENERATED[7].make(tmp_path)
    metadata = draft(made.path, compress=False, output_format="raw").document()["metadata"]
    assert isinstance(metadata, dict)
    assert [disk["file"] for disk in metadata["disks"]] == ["disk1.vmdk", "data.vmdk"]
    assert metadata["hardware"]["cpus"] == 2
    assert metadata["nics"][0]["mac"] == "00:50:56:aa:bb:01"


def test_neither_size_nor_checksum_unless_they_are_wanted(draft, tmp_path: Path) -> None:
    made = GENERATED[4].make(tmp_path)
    drafted = draft(made.path, compress=False, output_format="raw")
    assert drafted.document()["pipeline"] == {
        "load": {"source_type": "qcow2", "source_path": str(made.path)},
        "inspect": {"enabled": False, "detect_os": False},
        "fix": {
            "fstab": {"enabled": False, "mode": ""},
            "grub": {"enabled": False},
            "initramfs": {"enabled": False, "regenerate": False},
            "network": {"enabled": False, "fix_level": ""},
        },
        "convert": {"output_format": "raw", "compress": False},
        "validate": {"enabled": True, "boot_test": False},
    }


@pytest.mark.parametrize("boots", [True, False])
def test_a_disk_that_may_boot_is_to_be_fixed(draft, tmp_path: Path, boots: bool) -> None:
    (tmp_path / "a.raw").write_bytes(
        b"\xeb\x63".ljust(510, b"\0") + (b"\x55\xaa" if boots else b"\0\0") + bytes(1 << 20)
    )
    drafted = draft(tmp_path / "a.raw")
    assert (drafted.inspect, drafted.fix) == (boots, boots)


def test_what_load_refuses_is_refused_with_its_reason(draft, tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.result == "source-incomplete" and row.source_type == "vmdk")
    made = row.make(tmp_path)
    with raises_problem("source-incomplete"):
        draft(made.path)


def test_what_may_not_be_looked_at(draft, tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "secret.raw"
    inside.mkdir()
    outside.write_bytes(b"x" * 512)
    (inside / "link.raw").symlink_to(outside)
    (inside / "directory").mkdir()
    os.mkfifo(inside / "fifo")
    expected = {
        "/etc/passwd": "source-outside",
        str(outside): "source-outside",
        f"{inside}/../secret.raw": "source-outside",
        f"{inside}/link.raw": "source-outside",
        f"{inside}/none.raw": "source-missing",
        "relative.raw": "source-missing",
        "a\0b": "source-missing",
        f"{inside}/directory": "source-not-regular",
        f"{inside}/fifo": "source-not-regular",
    }
    for path, code in expected.items():
        with raises_problem(code):
            draft(path, inside)


def test_a_name_that_no_document_can_carry(draft, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.raw")
    Path(path).write_bytes(b"x" * 512)
    with raises_problem("name-invalid"):
        draft(path)


@pytest.mark.parametrize("name", [".hidden.raw", "a\nb.raw", "x" * 200 + ".raw"])
def test_what_no_job_could_be_called_is_left_out(draft, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x" * 512)
    assert draft(tmp_path / name).name == ""
