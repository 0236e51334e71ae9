"""All outputs of a guest get their names or none does, whenever the worker dies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine.publication import Placement, publish, recorded, withdraw
from hypersdkd.model.disk import OutputDisk
from hypersdkd.model.guest import Guest
from tests.problems import raises_problem


@pytest.fixture
def placements(tmp_path: Path) -> Sequence[Placement]:
    made = []
    for number in range(3):
        output = OutputDisk(tmp_path / f".{number}.part", tmp_path / f"disk{number}", "raw", 1)
        output.temporary.write_text(str(number))
        made.append(Placement.of(output, tmp_path))
    return made


def where(directory: Path) -> Guest:
    """A guest whose outputs lie in ``directory``."""
    return Guest("web01", (), outputs=(str(directory / "web01.raw"),), output_root=str(directory))


def event(placements: Sequence[Placement]) -> dict[str, object]:
    return {"outputs": [place.as_dict() for place in placements]}


@pytest.mark.parametrize("done", range(4))
def test_a_crash_between_the_renames_is_made_good(placements: Sequence[Placement], tmp_path: Path, done: int) -> None:
    for place in placements[:done]:
        place.temporary.rename(place.final)
    again = recorded(event(placements), where(tmp_path))
    assert list(again) == list(placements)
    publish(again)
    publish(again)
    assert [(tmp_path / f"disk{number}").read_text() for number in range(3)] == ["0", "1", "2"]
    assert len(os.listdir(tmp_path)) == 3


def test_what_is_not_all_there_is_not_recorded(placements: Sequence[Placement], tmp_path: Path) -> None:
    placements[0].temporary.rename(placements[0].final)
    assert list(recorded(event(placements[2:]), where(tmp_path))) == [placements[2]]
    missing = Placement(placements[1].temporary, placements[1].final, placements[1].device, -1, placements[1].root)
    assert list(recorded(event([placements[0], missing]), where(tmp_path))) == []


@pytest.mark.parametrize(
    "publishing", [None, {}, {"outputs": "x"}, {"outputs": []}, {"outputs": [{}, 7]}, {"outputs": [{"root": 1}]}]
)
def test_nothing_is_recorded_of_nothing(publishing: dict[str, object] | None) -> None:
    assert list(recorded(publishing, where(Path("/")))) == []


def test_files_elsewhere_are_not_recorded_whatever_the_journal_says(
    placements: Sequence[Placement], tmp_path: Path
) -> None:
    """Who took a worker over writes into its journal what he likes; the daemon acts by it when the guest is ended."""
    guest = where(tmp_path)
    assert recorded(event(placements), guest)
    for elsewhere in (replace(guest, output_root="/"), replace(guest, outputs=(str(tmp_path / "web" / "disk"),))):
        assert recorded(event(placements), elsewhere) == ()


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
    with raises_problem("output-invalid"):
        publish(placements)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("disk")]


def test_withdrawing_spares_what_is_not_ours(placements: Sequence[Placement], tmp_path: Path) -> None:
    publish(placements)
    spared = Placement(placements[1].temporary, placements[1].final, placements[1].device, -1, placements[1].root)
    withdraw([placements[0], spared, placements[2]])
    assert sorted(os.listdir(tmp_path)) == ["disk1"]


def test_a_name_that_was_given_by_a_link_loses_its_temporary_one(
    placements: Sequence[Placement], tmp_path: Path
) -> None:
    os.link(placements[0].temporary, placements[0].final)
    publish(recorded(event(placements), where(tmp_path)))
    assert sorted(os.listdir(tmp_path)) == ["disk0", "disk1", "disk2"]


def test_a_file_that_was_exchanged_is_not_published(placements: Sequence[Placement], tmp_path: Path) -> None:
    (tmp_path / "other").write_text("unchecked")
    (tmp_path / "other").replace(placements[1].temporary)
    with raises_problem("output-invalid"):
        publish(placements)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("disk")]


def test_a_file_that_was_exchanged_before_is_not_placed(tmp_path: Path) -> None:
    (tmp_path / ".part").write_text("unchecked")
    with raises_problem("output-invalid"):
        Placement.of(OutputDisk(tmp_path / ".part", tmp_path / "disk", "raw", 1, (1, 2)), tmp_path)


@pytest.fixture
def swapped(tmp_path: Path) -> tuple[Placement, Path]:
    """A placement whose directory has become a link to another that has a file of each name."""
    inner, elsewhere = tmp_path / "root" / "inner", tmp_path / "elsewhere"
    inner.mkdir(parents=True)
    (inner / ".part").write_text("ours")
    place = Placement.of(OutputDisk(inner / ".part", inner / "disk", "raw", 1), tmp_path / "root")
    inner.rename(elsewhere)
    inner.symlink_to(elsewhere)
    return place, elsewhere


def test_a_directory_that_became_a_link_is_not_published_into(swapped: tuple[Placement, Path]) -> None:
    place, elsewhere = swapped
    guest = Guest("web01", (), outputs=(str(place.final),), output_root=str(place.root))
    assert recorded(event([place]), guest) == ()
    with raises_problem("output-outside"):
        publish([place])
    assert os.listdir(elsewhere) == [".part"]


def test_nothing_is_withdrawn_behind_a_link(swapped: tuple[Placement, Path]) -> None:
    place, elsewhere = swapped
    (elsewhere / ".part").rename(elsewhere / "disk")
    assert withdraw([place]) == []
    assert os.listdir(elsewhere) == ["disk"]


def test_withdrawing_goes_on_after_what_cannot_be_removed(
    placements: Sequence[Placement], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(placements)
    unlink = Path.unlink
    monkeypatch.setattr(
        Path, "unlink", lambda path, missing_ok=False: None if path.name == "disk0" else unlink(path, missing_ok)
    )
    assert withdraw(placements) == [tmp_path / "disk0"]
    assert os.listdir(tmp_path) == ["disk0"]
