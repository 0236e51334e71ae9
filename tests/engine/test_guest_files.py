"""A guest's directory: its order is read back, its leftovers are found, and nobody else's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hypersdkd.engine.guest_files import (
    MARKER,
    WorkOrder,
    guest_run,
    remove_temporaries,
    temporary_output,
)
from hypersdkd.model.guest import DiskSource, Guest


def test_an_order_is_read_back(tmp_path: Path) -> None:
    guest = Guest(
        name="w\n\udcff",
        disks=(DiskSource("raw", "/in/\udcff", 5, "sha256:00", True), DiskSource("vmdk", "b")),
        outputs=("/out/a",),
        fix={"fstab": {"enabled": True}},
        warnings=({"code": "x"},),
    )
    order = WorkOrder("job\n.json", guest, ("/srv",), ("/plugins",), ("load_disk",))
    order.write(tmp_path)
    assert WorkOrder.read(tmp_path) == order


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"job_id": "a", "guest": {}}', '{"guest": []}'])
def test_a_broken_order_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "guest.json").write_text(content)
    with pytest.raises((KeyError, TypeError, ValueError)):
        WorkOrder.read(tmp_path)


def test_a_run_names_all_that_an_executor_needs(tmp_path: Path) -> None:
    run = guest_run(tmp_path, "a.json", "web01")
    assert run.command == (sys.executable, "-m", "hypersdkd.worker", str(tmp_path))
    assert run.marker == f"{MARKER}={tmp_path}"
    assert {run.log.parent, run.lock.parent, run.stamp.parent} == {tmp_path}


def test_leftovers_are_removed_and_only_this_guests(tmp_path: Path) -> None:
    mine, other, output = tmp_path / "00001", tmp_path / "00002", tmp_path / "out"
    output.mkdir()
    finals = [output / "a.qcow2", output / "b[1].qcow2"]
    for index, final in enumerate(finals):
        temporary_output(mine, final, index).touch()
        temporary_output(other, final, index).touch()
        final.touch()
    assert temporary_output(mine, finals[0], 0) == temporary_output(mine, finals[0], 0)
    remove_temporaries(mine, [*finals, tmp_path / "missing" / "c"])
    kept = {temporary_output(other, final, index) for index, final in enumerate(finals)}
    assert set(output.iterdir()) == kept | set(finals)
