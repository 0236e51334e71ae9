"""A manifest for a disk that the daemon sees, and no word about one that it may not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hypersdkd.cli.manifest_output import encoded
from hypersdkd.engine.generation import draft_manifest
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.manifest_draft import ManifestDraft
from tests.problems import raises_problem


def draft(path: Path | str, root: Path, output_format: str = "qcow2", *, compress: bool = True) -> ManifestDraft:
    return draft_manifest(str(path), [root.resolve()], output_format, compress=compress)


@pytest.mark.parametrize(("name", "form"), [("web 01.vmdk", "vmdk"), ("misnamed.vmdk", "qcow2"), ("disk.img", "raw")])
def test_a_manifest_that_is_valid_as_it_is(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / name
    subprocess.run(["qemu-img", "create", "-q", "-f", form, path, "1M"], check=True)
    validation = read_manifest(encoded(draft(path, tmp_path, "raw", compress=False).document()))
    assert (validation.problems, validation.warnings) == ((), ())
    (guest,) = validation.guests
    assert (guest.name, guest.output_format, guest.compress) == (path.stem, "raw", False)
    assert [(disk.source_type, disk.source_path) for disk in guest.disks] == [(form, str(path))]


def test_what_may_not_be_looked_at(tmp_path: Path) -> None:
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


def test_a_name_that_no_document_can_carry(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.raw")
    Path(path).write_bytes(b"x" * 512)
    with raises_problem("name-invalid"):
        draft(path, tmp_path)


@pytest.mark.parametrize("name", [".hidden.raw", "a\nb.raw", "x" * 200 + ".raw"])
def test_what_no_job_could_be_called_is_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x" * 512)
    assert draft(tmp_path / name, tmp_path).name == ""
