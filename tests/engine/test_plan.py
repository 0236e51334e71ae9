"""Where outputs go, and which guests cannot be run at all; whatever a manifest says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hypersdkd.engine.plan import Places, PlannedGuest, dropped_disk, plan, suffix_of
from hypersdkd.model.guest import DiskSource, Guest, output_names


@pytest.fixture
def places(tmp_path: Path) -> Places:
    base, more, sources = tmp_path / "base", tmp_path / "more", tmp_path / "sources"
    for directory in (base / "to_be_processed", base / "output", more, sources):
        directory.mkdir(parents=True)
    (sources / "disk.raw").write_bytes(b"disk")
    (base / "to_be_processed" / "near.raw").write_bytes(b"disk")
    return Places.of(base, [sources], base / "output", [more])


def guest(source: str = "near.raw", disks: int = 1, **fields: object) -> Guest:
    made = {"name": "web01", **fields}
    return Guest(disks=(DiskSource("raw", source),) * disks, **made)  # type: ignore[arg-type]


def planned(places: Places, *guests: Guest, busy: str = "") -> list[PlannedGuest]:
    return plan("job.json", guests, places, lambda path: str(path) == busy)


def outputs(places: Places, made: Guest) -> list[str]:
    """The outputs below the directory of outputs' parent; the guest must be fine."""
    (row,) = planned(places, made)
    assert row.problem is None, row.problem
    return [os.path.relpath(path, places.output.parent) for path in row.guest.outputs]


def code(places: Places, made: Guest, **more: str) -> str:
    (row,) = planned(places, made, **more)
    assert row.problem is not None
    assert row.problem.remedy
    return row.problem.code


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ["output/web01.qcow2"]),
        ({"name": ""}, ["output/job.qcow2"]),
        ({"output_format": "vmdk"}, ["output/web01.vmdk"]),
        ({"output_path": "a/b.img"}, ["output/a/b.img"]),
        ({"output_path": "a/../b.qcow2"}, ["output/b.qcow2"]),
        ({"output_path": "new/"}, ["output/new/web01.qcow2"]),
        ({"disks": 2}, ["output/web01-disk1.qcow2", "output/web01-disk2.qcow2"]),
        ({"disks": 2, "output_path": "x"}, ["output/x-disk1.qcow2", "output/x-disk2.qcow2"]),
        ({"name": "../../evil"}, ["output/_.._evil.qcow2"]),
        ({"name": "..."}, ["output/guest.qcow2"]),
        ({"name": "-rf"}, ["output/-rf.qcow2"]),
    ],
)
def test_where_outputs_go(places: Places, fields: dict[str, object], expected: list[str]) -> None:
    assert outputs(places, guest(**fields)) == expected  # type: ignore[arg-type]


def test_the_name_that_outputs_are_named_after(places: Places) -> None:
    """LOAD may find more disks than sources."""
    (row,) = planned(places, guest(disks=2, output_path="x.img"))
    assert row.guest.output_name == str(places.output / "x.img")
    assert output_names(row.guest.output_name, 2, "qcow2") == row.guest.outputs
    assert output_names(row.guest.output_name, 1, "qcow2") == (row.guest.output_name,)


def test_a_directory_that_exists_takes_the_guests_name(places: Places, tmp_path: Path) -> None:
    assert outputs(places, guest(output_path=str(tmp_path / "more"))) == ["../more/web01.qcow2"]
    assert outputs(places, guest(output_path=".")) == ["output/web01.qcow2"]


@pytest.mark.parametrize("path", ["/etc/cron.d/x", "../../x", "../to_be_processed/x.json", "/", "link/x"])
def test_an_output_outside_is_refused(places: Places, path: str) -> None:
    (places.output / "link").symlink_to("/etc")
    assert code(places, guest(output_path=path)) == "output-outside"


@pytest.mark.parametrize("source", ["/etc/passwd", "../../../etc/passwd", "link.raw", "missing.raw", ".", "", "a\0b"])
def test_a_source_outside_or_missing_is_refused(places: Places, source: str) -> None:
    (places.beside / "link.raw").symlink_to("/etc/passwd")
    assert code(places, guest(source)).startswith("source-")


def test_a_source_may_be_relative_or_in_a_known_directory(places: Places, tmp_path: Path) -> None:
    (row,) = planned(places, guest(str(tmp_path / "sources" / "disk.raw")))
    assert row.problem is None
    (row,) = planned(places, guest())
    assert row.guest.disks[0].source_path == str(places.beside / "near.raw")


@pytest.mark.parametrize("make", ["file", "link"])
def test_an_output_that_exists_is_refused(places: Places, make: str) -> None:
    output = places.output / "web01.qcow2"
    output.touch() if make == "file" else output.symlink_to("nowhere")
    assert code(places, guest()) == "output-exists"


def test_two_guests_never_write_one_output(places: Places) -> None:
    first, second, third = planned(places, guest(), guest(), guest(name="other"))
    assert first.problem is None
    assert second.problem is not None
    assert second.problem.code == "manifest-duplicate-output"
    assert third.problem is None, "the others are not affected"
    assert code(places, guest(), busy=str(places.output / "web01.qcow2")) == "output-exists"


texts = st.text(max_size=12) | st.sampled_from(["x" * 300, "a/" * 3000, "é" * 130, "\udcff", "a\0b", "..", "/", "~"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(name=texts, path=texts, source=texts, disks=st.integers(1, 2))
@example(name="a", path="x" * 300, source="near.raw", disks=1)
@example(name="a", path="x" * 250, source="near.raw", disks=2)
@example(name="a", path="d" * 300 + "/x", source="near.raw", disks=1)
@example(name="a", path="a/" * 3000, source="near.raw", disks=1)
@example(name="x" * 300, path="", source="near.raw", disks=2)
@example(name="a", path="\ud800", source="near.raw", disks=1)
@example(name="\ud800", path="", source="\ud800", disks=1)
def test_nothing_hostile_gets_out_or_is_more_than_a_problem(
    places: Places, name: str, path: str, source: str, disks: int
) -> None:
    (row,) = planned(places, guest(source, disks, name=name, output_path=path))
    if row.problem is None:
        for output in map(Path, row.guest.outputs):
            assert any(root in output.parents for root in places.output_roots)
            assert len(os.fsencode(output.name)) <= 255


def test_a_dropped_disk_is_converted_as_what_its_suffix_says() -> None:
    made = dropped_disk("web.01.IMG", Path("/q/processing/web.01.IMG"))
    assert (made.name, made.output_format) == ("web.01", "qcow2")
    assert made.disks == (DiskSource("raw", "/q/processing/web.01.IMG"),)
    assert dropped_disk("a.vmdk", Path("/a.vmdk")).disks[0].source_type == "vmdk"


@pytest.mark.parametrize(("name", "syntax"), [("a.JSON", "json"), ("a.yml", "yaml"), ("a.yaml", "yaml"), ("a", "")])
def test_the_syntax_of_a_name(name: str, syntax: str) -> None:
    assert suffix_of(name) == syntax


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("d" * 256 + "/x", "name-invalid"),
        ("ü" * 128 + "/y/x", "name-invalid"),
        ("/".join(["d" * 250] * 17), "name-invalid"),
        ("a/" * 17 + "x", "name-invalid"),
        ("a/" * 16 + "x", ""),
        ("file/x", "output-unwritable"),
        ("file/a/b/x", "output-unwritable"),
    ],
)
def test_a_path_that_cannot_be_made_is_refused_before_the_work(places: Places, path: str, expected: str) -> None:
    (places.output / "file").touch()
    (row,) = planned(places, guest(output_path=path))
    assert (row.problem.code if row.problem else "") == expected


def test_a_guest_knows_the_root_of_its_outputs(places: Places, tmp_path: Path) -> None:
    rows = planned(places, guest(), guest(output_path=f"{tmp_path}/more/a/x"))
    assert [row.guest.output_root for row in rows] == [str(places.output), str(tmp_path / "more")]
