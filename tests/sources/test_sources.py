"""Each row of the table is what it says, by the real worker; and the document tells the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.plugins import Plugins
from hypersdkd.host import (
    hyperv_disk,
    image_file,
    ovf_manifest,
    ovf_xml,
    qcow2_disk,
    tar_index,
    unpacking,
    vmdk_disk,
)
from hypersdkd.model.guest import DiskSource, Guest
from tests.engine.guests import folded
from tests.sources.row import EXACT, Made, Row
from tests.sources.table import DOCUMENT, ROWS, document


@pytest.fixture(scope="module")
def plugins() -> tuple[str, ...]:
    return tuple(Plugins.load().for_workers)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def convert(tmp_path: Path, source_type: str, path: Path, plugins: tuple[str, ...]) -> Path:
    """Run a worker; the guest's directory."""
    directory = tmp_path / "guest"
    directory.mkdir()
    name = str(tmp_path / "output" / "web01.qcow2")
    guest = Guest(
        "web01",
        (DiskSource(source_type, str(path)),),
        outputs=(name,),
        output_root=str(tmp_path),
        output_name=name,
    )
    WorkOrder("web01.json", guest, (str(path.parent),), (), plugins).write(directory)
    command = [sys.executable, "-P", "-m", "hypersdkd.worker", str(directory)]
    subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return directory


def same(output: str, disk: bytes, made: Made) -> bool:
    """Whether the output holds what the disk does; a disk that is too large for a test's memory is in a file."""
    origin = made.path.parent / "origin.raw"
    if disk:
        origin.write_bytes(disk)
    words = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", origin, output]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row(tmp_path: Path, source: Path, row: Row, plugins: tuple[str, ...]) -> None:
    made = row.make(source)
    before = {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in source.iterdir()}
    state = folded(convert(tmp_path, row.source_type, made.path, plugins))
    found = EXACT if state.problem is None else state.problem.code
    assert found == row.result, state.problem
    left = sorted(os.listdir(tmp_path / "output")) if (tmp_path / "output").exists() else []
    outputs = [name for name in left if not name.endswith(".xml")]  # libvirt's, of a source that tells of hardware
    assert set(left) - set(outputs) <= ({"web01.xml"} if row.result == EXACT else set())
    if row.result != EXACT:
        assert state.problem is not None
        assert (outputs, bool(state.problem.remedy)) == ([], True)
        return
    artifacts = state.report()["artifacts"]
    assert isinstance(artifacts, dict)
    assert [Path(path).name for path in artifacts["outputs"]] == outputs
    assert all(same(output, disk, made) for output, disk in zip(artifacts["outputs"], made.disks, strict=True))
    after = {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in source.iterdir()}
    assert {name: after[name] for name in before if name != "origin.raw"} == {
        name: state for name, state in before.items() if name != "origin.raw"
    }


def test_the_document_has_the_table() -> None:
    assert DOCUMENT.read_text() == document(), "run script/sources"
    assert len({str(row) for row in ROWS}) == len(ROWS)


def test_the_document_has_the_limits() -> None:
    text = DOCUMENT.read_text()
    mib, tib = 1 << 20, 1 << 40
    for row in (
        f"| a disk, also one that is unpacked | {image_file.MAX_VIRTUAL_SIZE // tib} TiB |",
        f"| one table of an image | {image_file.MAX_TABLE // mib} MiB |",
        f"| files of a VMDK | {vmdk_disk.MAX_FILES:,} |",
        f"| an OVF | {ovf_xml.MAX_BYTES // mib} MiB |",
        f"| a `.mf` | {ovf_manifest.MAX_BYTES // mib} MiB |",
        f"| members of a tar archive | {tar_index.MAX_MEMBERS:,} |",
        f"| bytes of a member's name | {tar_index.MAX_NAME:,} |",
        f"zeros left out | {unpacking.FREE_OF_RATIO // mib} MiB, and {unpacking.MAX_RATIO} times what was read |",
    ):
        assert row in text, row
    assert {vmdk_disk.MAX_LINKS, hyperv_disk.MAX_LINKS, qcow2_disk.MAX_LINKS} == {64}
    assert "| a chain of snapshots, checkpoints or backing files | 64 |" in text
