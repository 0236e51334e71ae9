"""What a valid manifest is warned of before it is submitted, and what is not told to who may only validate."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hypersdkd.engine.outlook import outlook
from hypersdkd.engine.plan import Places
from hypersdkd.model.job_config import read_job_config
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import Validation
from tests.engine.workbench import disk, manifest, workbench


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("base/to_be_processed", "output", "exports", "private"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("exports/disk.raw", "private/disk.raw"):
        (tmp_path / name).write_bytes(b"disk")
    (tmp_path / "exports/link").symlink_to(tmp_path / "private")
    (tmp_path / "private/link").symlink_to("/etc")
    return Places.of(tmp_path / "base", [tmp_path / "exports"], tmp_path / "output", [])


def told(places: Places, source: str, name: str = "web01", **convert: object) -> list[Problem]:
    document = json.loads(manifest(source, **convert))
    document["name"] = name
    validation = read_manifest(json.dumps(document).encode())
    assert validation.valid
    return list(outlook(validation, places))


@pytest.mark.parametrize(
    ("source", "convert", "code", "path"),
    [
        ("{here}/private/disk.raw", {}, "source-outside", "pipeline.load"),
        ("{here}/exports/link/disk.raw", {}, "source-outside", "pipeline.load"),
        ("{here}/exports/../private/disk.raw", {}, "source-outside", "pipeline.load"),
        ("{here}/exports/none.raw", {}, "source-missing", "pipeline.load"),
        ("{here}/exports", {}, "source-not-regular", "pipeline.load"),
        ("{here}/exports/disk.raw", {"output_path": "/elsewhere/a"}, "output-outside", "pipeline.convert.output_path"),
        ("{here}/exports/disk.raw", {"output_path": "there.raw"}, "output-exists", "pipeline.convert.output_path"),
    ],
)
def test_what_would_fail_at_once(
    places: Places, tmp_path: Path, source: str, convert: dict[str, object], code: str, path: str
) -> None:
    (tmp_path / "output/there.raw").touch()
    (warning,) = told(places, source.format(here=tmp_path), **convert)
    assert (warning.code, warning.path) == (code, path)
    assert warning.message.startswith("as things are now, the job would fail: ")
    assert warning.remedy


@pytest.mark.parametrize("source", ["{here}/exports/disk.raw", "beside.raw"])
def test_nothing_of_what_can_run_or_may_be_dropped_along_with_it(places: Places, tmp_path: Path, source: str) -> None:
    assert told(places, source.format(here=tmp_path)) == []


def test_who_has_no_name_yet_has_no_output_that_could_be_there(places: Places, tmp_path: Path) -> None:
    for name in ("guest.qcow2", "web01.qcow2"):
        (tmp_path / "output" / name).touch()
    source = f"{tmp_path}/exports/disk.raw"
    assert told(places, source, name="") == []
    assert [warning.code for warning in told(places, source)] == ["output-exists"]


@pytest.mark.parametrize("field", ["source", "output_path"])
def test_whether_there_is_anything_is_not_told_of_other_places(places: Places, tmp_path: Path, field: str) -> None:
    seen = set()
    for name in ("disk.raw", "none.raw", "link/passwd", "link"):
        path = f"{tmp_path}/private/{name}"
        source, convert = (path, {}) if field == "source" else (f"{tmp_path}/exports/disk.raw", {"output_path": path})
        (warning,) = told(places, source, **convert)
        assert "/etc" not in str(warning.as_dict())
        seen.add(str(warning.as_dict()).replace(path, "PATH").replace(os.path.dirname(path), "PARENT"))
    assert len(seen) == 1


def test_each_guest_of_many_has_its_place(places: Places, tmp_path: Path) -> None:
    pipeline = json.loads(manifest(f"{tmp_path}/exports/none.raw"))["pipeline"]
    vms = [{"name": f"web{number}", "pipeline": pipeline} for number in range(150)]
    warnings = list(outlook(read_manifest(json.dumps({"version": "1.0", "batch": True, "vms": vms}).encode()), places))
    assert [warning.path for warning in warnings] == [f"vms[{number}].pipeline.load" for number in range(100)]


def test_job_configs(places: Places) -> None:
    for text, path in (
        (b'{"input": "/private/a.raw"}', "input"),
        (b'{"jobs": [{"input": "a.raw"}, {"input": "/private/a.raw"}]}', "jobs[1].input"),
    ):
        judged = read_job_config(text, "json")
        assert judged is not None
        assert [(each.code, each.path) for each in outlook(judged, places)] == [("source-outside", path)]


def test_nothing_of_what_is_not_valid(places: Places) -> None:
    assert list(outlook(Validation(), places)) == []


async def test_it_is_told_to_who_validates(tmp_path: Path) -> None:
    base = tmp_path / "base"
    async with workbench(base) as bench:
        assert (await bench.service.validate(manifest(disk(base)))).warnings == ()
        judged = await bench.service.validate(manifest("/nowhere/disk.raw"))
        assert judged.valid
        assert [warning.code for warning in judged.warnings] == ["source-outside"]
