"""A guest's directory: its order is read back, its leftovers are found, and nobody else's."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date
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
    order = WorkOrder(
        "job\n.json",
        guest,
        ("/srv",),
        ("/plugins",),
        ("load_disk",),
        ("/queue/processing",),
        ("web01-flat.vmdk",),
        {"load_disk": {"token": "secret", "since": "2026-01-02"}},
    )
    order.write(tmp_path)
    assert WorkOrder.read(tmp_path) == order
    assert (tmp_path / "guest.json").stat().st_mode & 0o777 == 0o600
    dated = replace(order, plugin_settings={"load_disk": {"token": "secret", "since": date(2026, 1, 2)}})
    dated.write(tmp_path)
    assert WorkOrder.read(tmp_path) == order, "as JSON can say it"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"job_id": "a", "guest": {}}', '{"guest": []}'])
def test_a_broken_order_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "guest.json").write_text(content)
    with pytest.raises((KeyError, TypeError, ValueError)):
        WorkOrder.read(tmp_path)


def test_a_run_names_all_that_an_executor_needs(tmp_path: Path) -> None:
    run = guest_run(tmp_path, "a.json", "web01")
    assert run.command == (sys.executable, "-P", "-m", "hypersdkd.worker", str(tmp_path))
    assert run.marker == f"{MARKER}={tmp_path}"
    assert {run.log.parent, run.lock.parent, run.stamp.parent} == {tmp_path}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def guest_directory(output: Path, name: str) -> Path:
    """A guest's directory with an order."""
    directory = output.parent / name
    directory.mkdir()
    WorkOrder("job", Guest("web01", (), output_root=str(output)), ()).write(directory)
    return directory


def test_leftovers_are_removed_and_only_this_guests(output: Path) -> None:
    mine, other = guest_directory(output, "00001"), guest_directory(output, "00002")
    finals = [output / "a.qcow2", output / "b[1].qcow2"]
    for index, final in enumerate(finals):
        temporary_output(mine, final, index).touch()
        temporary_output(other, final, index).touch()
        final.touch()
    assert temporary_output(mine, finals[0], 0) == temporary_output(mine, finals[0], 0)
    assert remove_temporaries(mine, [*finals, output / "missing" / "c"]) == []
    kept = {temporary_output(other, final, index) for index, final in enumerate(finals)}
    assert set(output.iterdir()) == kept | set(finals)


def test_a_temporary_name_cannot_be_guessed_from_the_guest(output: Path, tmp_path: Path) -> None:
    directory = guest_directory(output, "00001")
    first = temporary_output(directory, output / "a", 0)
    WorkOrder("job", Guest("web01", (), output_root=str(output)), ()).write(directory)
    assert temporary_output(directory, output / "a", 0) != first


def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(output: Path) -> None:
    directory = guest_directory(output, "00001")
    planted, plain = (temporary_output(directory, output / "a", index) for index in (0, 1))
    planted.mkdir()
    plain.touch()
    (left,) = remove_temporaries(directory, [output / "a"])
    assert (left.code, planted.name in left.message) == ("output-leftover", True)
    assert list(output.iterdir()) == [planted]


def test_nothing_is_removed_behind_a_link(output: Path, tmp_path: Path) -> None:
    directory = guest_directory(output, "00001")
    (tmp_path / "elsewhere").mkdir()
    (output / "inner").symlink_to(tmp_path / "elsewhere")
    victim = tmp_path / "elsewhere" / temporary_output(directory, output / "a", 0).name
    victim.touch()
    (left,) = remove_temporaries(directory, [output / "inner" / "a"])
    assert left.code == "output-leftover"
    assert victim.exists()


def test_nothing_is_removed_without_an_order(output: Path, tmp_path: Path) -> None:
    assert remove_temporaries(tmp_path / "missing", [output / "a"]) == ()
