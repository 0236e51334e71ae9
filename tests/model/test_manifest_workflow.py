"""hypersdkd.model.manifest_workflow: what a manifest promises of a source's further files."""

from __future__ import annotations

import json

import pytest

from hypersdkd.model.guest import DiskSource, FilePromise, Guest
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.replies import Validation

SUM = "sha256:" + "ab" * 32
ONE = {"source_type": "vmdk", "source_path": "/srv/a.vmdk"}
FILES = [{"path": "a-flat.vmdk", "bytes": 5, "checksum": SUM.upper().replace("SHA", "sha")}, {"path": "/srv/b.vmdk"}]
PROMISES = (FilePromise("a-flat.vmdk", 5, SUM), FilePromise("/srv/b.vmdk"))


def read(load: object) -> Validation:
    document = {"version": "1.0", "pipeline": {"load": load, "convert": {"output_format": "qcow2"}}}
    return read_manifest(json.dumps(document).encode())


@pytest.mark.parametrize("load", [{**ONE, "files": FILES}, {"disks": [{**ONE, "files": FILES}]}])
def test_promises_reach_the_worker(load: object) -> None:
    validation = read(load)
    assert (validation.problems, validation.warnings) == ((), ())
    (guest,) = validation.guests
    assert guest.disks == (DiskSource("vmdk", "/srv/a.vmdk", files=PROMISES),)
    assert Guest.from_dict(json.loads(json.dumps(guest.as_dict()))).disks == guest.disks


@pytest.mark.parametrize(
    ("file", "code", "key"),
    [
        ({}, "manifest-required", "path"),
        ({"path": ""}, "manifest-required", "path"),
        ({"path": "a\0"}, "manifest-value", "path"),
        ({"path": "a", "bytes": 0}, "manifest-value", "bytes"),
        ({"path": "a", "checksum": "md5:00"}, "manifest-value", "checksum"),
    ],
)
def test_promises_that_make_no_sense(file: object, code: str, key: str) -> None:
    (problem,) = read({**ONE, "files": [file]}).problems
    assert (problem.code, problem.path) == (code, f"pipeline.load.files[0].{key}")


@pytest.mark.parametrize("key", ["bytes", "checksum", "files"])
def test_a_promise_beside_several_disks_is_nobodys(key: str) -> None:
    """It was passed over: no disk was held to it."""
    load = {"disks": [ONE], key: {"bytes": 5, "checksum": SUM, "files": FILES}[key]}
    (problem,) = read(load).problems
    assert (problem.code, problem.path) == ("manifest-value", f"pipeline.load.{key}")
    assert problem.remedy
