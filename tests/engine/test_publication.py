"""All outputs of a guest get their names or none does, whenever the worker dies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from hypersdkd.engine.publication import Placement, publish, recorded, withdraw
from hypersdkd.model.disk import OutputDisk
from tests.problems import raises_problem


@pytest.fixture
def placements(tmp_path: Path) -> Sequence[Placement]:
    made = []
    for number in range(3):
        output = OutputDisk(tmp_path / f".{number}.part", tmp_path / f"disk{number}", "raw", 1)
        output.temporary.write_text(str(number))
        made.append(Placement.of(output))
    return made


def event(placements: Sequence[Placement]) -> dict[str, object]:
    return {"outputs": [place.as_dict() for place in placements]}


@pytest.mark.parametrize("done", range(4))
def test_a_crash_between_the_renames_is_made_good(placements: Sequence[Placement], tmp_path: Path, done: int) -> None:
    for place in placements[:done]:
        place.temporary.rename(place.final)
    again = recorded(event(placements))
    assert list(again) == list(placements)
    publish(again)
    publish(again)
    assert [(tmp_path / f"disk{number}").read_text() for number in range(3)] == ["0", "1", "2"]
    assert len(os.listdir(tmp_path)) == 3


def test_what_is_not_all_there_is_not_recorded(placements: Sequence[Placement]) -> None:
    placements[0].temporary.rename(placements[0].final)
    assert list(recorded(event(placements[2:]))) == [placements[2]]
    missing = Placement(placements[1].temporary, placements[1].final, placements[1].device, -1)
    assert list(recorded(event([placements[0], missing]))) == []


@pytest.mark.parametrize("publishing", [None, {}, {"outputs": "x"}, {"outputs": []}])
def test_nothing_is_recorded_of_nothing(publishing: dict[str, object] | None) -> None:
    assert list(recorded(publishing)) == []


def test_a_name_that_is_taken_withdraws_all_and_keeps_the_other_file(
    placements: Sequence[Placement], tmp_path: Path
) -> None:
    (tmp_path / "disk2").write_text("not ours")
    with raises_problem("output-exists", "disk2"):
        publish(placements)
    assert (tmp_path / "disk2").read_text() == "not ours"
    assert not (tmp_path / "disk0").exists()
    assert not (tmp_path / "disk1").exists()


def test_an_error_of_the_storage_withdraws_all(placements: Sequence[Placement], tmp_path: Path) -> None:
    placements[2].temporary.unlink()
    with pytest.raises(FileNotFoundError):
        publish(placements)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("disk")]


def test_withdrawing_spares_what_is_not_ours(placements: Sequence[Placement], tmp_path: Path) -> None:
    publish(placements)
    spared = Placement(placements[1].temporary, placements[1].final, placements[1].device, -1)
    withdraw([placements[0], spared, placements[2]])
    assert sorted(os.listdir(tmp_path)) == ["disk1"]
