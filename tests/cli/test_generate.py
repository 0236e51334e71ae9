"""manifest generate: the recorded files for sources that are not here, inspected ones for those that are."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hypersdkd.model.manifest import read_manifest
from tests import appliances, vhds, vmdks
from tests.cli.conftest import Run
from tests.cli.test_recordings import GOLDEN

RECORDED = sorted((GOLDEN / "generated").iterdir())

#: Types that the Go client did not know from the name, and took for another.
CORRECTED = {
    "web03-manifest.json": "ovf",
    "web05-manifest.json": "vhdx",
    "web06-manifest.json": "raw",
    "web07-manifest.json": "qcow2",
}


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.name)
def test_the_recorded_manifests(run: Run, elsewhere: Path, recorded: Path) -> None:
    wanted = recorded.read_text()
    document = json.loads(wanted)
    source_type = document["pipeline"]["load"]["source_type"]
    result = run("manifest", "generate", document["pipeline"]["load"]["source_path"], str(elsewhere))
    assert result.status == 0
    assert "WARNING" in result.err
    right = CORRECTED.get(recorded.name, source_type)
    assert (elsewhere / recorded.name).read_text() == wanted.replace(
        f'"source_type": "{source_type}"', f'"source_type": "{right}"'
    )


def test_a_relative_path_that_is_not_here_is_told_where_it_starts(run: Run, elsewhere: Path) -> None:
    assert "from its to_be_processed/, not from here" in run("manifest", "generate", "away.vmdk", ".").err
    assert "to_be_processed" not in run("manifest", "generate", "/srv/away.vmdk", ".", "--force").err


def make_image(path: str, form: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", form, path, "1M"], check=True)


@pytest.mark.parametrize(
    ("name", "form", "source_type"),
    [
        ("a.vmdk", "vmdk", "vmdk"),
        ("misnamed.vmdk", "qcow2", "qcow2"),
        ("no-suffix", "vdi", "vdi"),
        ("B.IMG", "raw", "raw"),
        ("flat.vmdk", "raw", "raw"),
        ("c.vhd", "vpc", "vhd"),
        ("d.vhdx", "vhdx", "vhdx"),
        ("e.ami", "raw", "ami"),
    ],
)
def test_a_source_that_is_here_is_looked_at(run: Run, elsewhere: Path, name: str, form: str, source_type: str) -> None:
    make_image(name, form)
    result = run("manifest", "generate", name, ".", "--json")
    written = json.loads(Path(json.loads(result.out)["manifest_path"]).read_bytes())
    assert (result.status, "will refuse" in result.err) == (0, False)
    assert written["metadata"]["disks"][0]["virtual_size"] >= 1 << 20
    assert written["pipeline"]["load"] == {"source_type": source_type, "source_path": str(elsewhere / name)}
    assert not written["pipeline"]["inspect"]["enabled"]
    assert not written["pipeline"]["fix"]["fstab"]["enabled"]


def test_it_can_be_submitted_unedited(run: Run) -> None:
    make_image("a.qcow2", "qcow2")
    assert run("manifest", "generate", "a.qcow2", ".").status == 0
    validation = read_manifest(Path("a-manifest.json").read_bytes())
    assert (validation.problems, validation.warnings) == ((), ())
    assert validation.guests[0].disks[0].source_type == "qcow2"


def test_another_manifest_is_never_overwritten_unasked(run: Run) -> None:
    assert run("manifest", "generate", "/x/a.vmdk", ".").status == 0
    assert run("manifest", "generate", "/x/a.vmdk", ".").status == 0
    Path("a-manifest.json").write_text("mine")
    result = run("manifest", "generate", "/x/a.vmdk", ".")
    assert (result.status, Path("a-manifest.json").read_text()) == (1, "mine")
    assert "--force" in result.err
    assert run("manifest", "generate", "/x/a.vmdk", ".", "--force").status == 0
    assert json.loads(Path("a-manifest.json").read_bytes())["version"] == "1.0"
    assert sorted(os.listdir()) == ["a-manifest.json"]


def test_a_planted_link_is_not_written_through(run: Run) -> None:
    Path("a-manifest.json").symlink_to("victim")
    assert run("manifest", "generate", "/x/a.vmdk", ".").status == 1
    assert run("manifest", "generate", "/x/a.vmdk", ".", "--force").status == 0
    assert not Path("victim").exists()
    assert not Path("a-manifest.json").is_symlink()


@pytest.mark.parametrize("source", ["é\n\x1b[31m.vmdk", "-leading.vmdk", "x" * 200 + ".vmdk", "<&>.vmdk", ".."])
def test_hostile_names(run: Run, elsewhere: Path, source: str) -> None:
    result = run("manifest", "generate", "--", f"/x/{source}", str(elsewhere))
    assert result.status == 0
    (written,) = elsewhere.iterdir()
    assert json.loads(written.read_bytes())["pipeline"]["load"]["source_path"] == f"/x/{source}"
    assert "\x1b" not in result.out + result.err


@pytest.mark.parametrize("source", ["/x/\udcff.vmdk", "/x/a\0b.vmdk", "x" * 300 + ".vmdk"])
def test_names_that_cannot_be_written(run: Run, elsewhere: Path, source: str) -> None:
    assert run("manifest", "generate", source, ".").status == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "source", ["é\n\x1b[31m.vmdk", "=1+1.vmdk", "a: b #c.vmdk", "\u202e\u2028 .vmdk", "x " * 90 + ".vmdk"]
)
def test_yaml_says_what_json_does(run: Run, elsewhere: Path, source: str) -> None:
    words = ("manifest", "generate", "--", f"/x/{source}", str(elsewhere))
    said = json.loads(run("--json", "--format=yaml", *words).out)
    assert json.loads(run("--json", *words).out)["manifest"] == said["manifest"]
    in_yaml, in_json = (elsewhere / f"{Path(source).stem}-manifest.{suffix}" for suffix in ("yaml", "json"))
    assert said["manifest_path"] == str(in_yaml)
    read = read_manifest(in_yaml.read_bytes(), syntax="yaml")
    assert (read.problems, read.guests) == ((), read_manifest(in_json.read_bytes()).guests)
    in_yaml.write_text("mine")
    assert run("--format=yaml", *words).status == 1
    assert in_yaml.read_text() == "mine"


def test_yaml_does_not_carry_a_name_that_is_not_utf_8_either(run: Run, elsewhere: Path) -> None:
    result = run("manifest", "generate", "--format", "yaml", "/x/\udcff.vmdk", ".")
    assert (result.status, list(elsewhere.iterdir())) == (1, [])
    assert "not UTF-8" in result.err


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "not a regular file"), (os.mkdir, "a directory")])
def test_a_source_that_is_no_file_is_an_error(run: Run, make: Callable[[str], None], kind: str) -> None:
    make("a.vmdk")
    result = run("manifest", "generate", "a.vmdk", ".")
    assert (result.status, os.listdir()) == (1, ["a.vmdk"])
    assert f"a.vmdk is {kind}" in result.err


@pytest.mark.parametrize("missing", [True, False])
def test_a_source_that_load_will_refuse_is_written_with_a_warning(run: Run, missing: bool) -> None:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "a.vmdk", "1M"], check=True
    )
    if missing:
        Path("a-flat.vmdk").unlink()
    result = run("manifest", "generate", "a.vmdk", ".")
    assert (result.status, Path("a-manifest.json").is_file()) == (0, True)
    warnings = [line for line in result.err.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == missing
    assert all("extent a-flat.vmdk" in line and "Copy a-flat.vmdk into" in line for line in warnings)


def test_a_missing_backing_file_is_warned_of(run: Run) -> None:
    make_image("base.qcow2", "qcow2")
    options = ["-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2"]
    subprocess.run(["qemu-img", "create", "-q", *options, "a.img", "1M"], check=True)
    assert "WARNING" not in run("manifest", "generate", "a.img", ".").err
    Path("base.qcow2").unlink()
    result = run("manifest", "generate", "a.img", ".", "--force")
    (warning,) = [line for line in result.err.splitlines() if line.startswith("WARNING")]
    assert "needs its backing file base.qcow2" in warning
    assert "Copy it to" in warning


def test_a_checkpoint_without_its_parent_is_told(run: Run) -> None:
    vhds.vhdx(Path("a.avhdx"), 1 << 20, {}, parent=vhds.linkage(vhds.BASE_ID))
    result = run("manifest", "generate", "a.avhdx", ".")
    assert result.status == 0
    assert "needs its parent base.vhdx" in result.out + result.err
    document = json.loads(Path("a-manifest.json").read_text())
    assert document["pipeline"]["load"]["source_type"] == "vhdx"
    vhds.vhdx(Path("base.vhdx"), 1 << 20, {}, data_id=vhds.BASE_ID)
    again = run("manifest", "generate", "a.avhdx", ".", "--force")
    assert "WARNING" not in again.out + again.err


@pytest.mark.parametrize("words", [[], ["a.vmdk"], ["a.vmdk", ".", "more"]])
def test_two_words_are_needed(run: Run, words: list[str]) -> None:
    result = run("manifest", "generate", *words)
    assert result.status == 1
    assert "VM path and output directory required" in result.err


def test_size_and_checksum_where_they_are_wanted(run: Run, elsewhere: Path) -> None:
    make_image("a.qcow2", "qcow2")
    result = run("manifest", "generate", "a.qcow2", ".", "--checksums")
    load = json.loads(Path("a-manifest.json").read_bytes())["pipeline"]["load"]
    digits = hashlib.sha256(Path("a.qcow2").read_bytes()).hexdigest()
    assert (load["bytes"], load["checksum"]) == (Path("a.qcow2").stat().st_size, f"sha256:{digits}")
    assert "Disk 1: qcow2 v3 1.0 MiB" in result.out


def test_an_appliance_in_words(run: Run, elsewhere: Path) -> None:
    make_image("disk1.qcow2", "qcow2")
    text = appliances.ovf([{"file": "disk1.qcow2", "capacity": 1, "format": appliances.QCOW2}])
    appliances.ova(Path("web01.ova"), {"web01.ovf": text, "disk1.qcow2": Path("disk1.qcow2").read_bytes()})
    result = run("manifest", "generate", "web01.ova", ".")
    assert "Disk 1: disk1.qcow2 qcow2 v3 1.0 MiB" in result.out
    assert "Hardware: 2 CPUs, 4.0 GiB memory, 1 network card\n" in result.out


def test_snapshots_beside_the_disk_are_told_of_once(run: Run, elsewhere: Path) -> None:
    vmdks.esx_flat(elsewhere, "web01", bytes(65536))
    vmdks.esx_delta(elsewhere, "web01-000001", "web01.vmdk", 65536, {})
    said = run("manifest", "generate", "web01.vmdk", ".").err
    assert said.count("web01-000001.vmdk beside it was made of web01.vmdk") == 1
    assert "remedy: If the latest state is wanted, name web01-000001.vmdk" in said
    make_image("db01.qcow2", "qcow2")
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "db01.qcow2", "-F", "qcow2", "db01.snap1"], check=True
    )
    assert "db01.snap1 beside it" in run("manifest", "generate", "db01.qcow2", ".").err
    assert "beside it" not in run("manifest", "generate", "web01-000001.vmdk", ".").err


def test_a_cloud_image_is_one_whatever_it_is_called(run: Run, elsewhere: Path) -> None:
    make_image("disk.qcow2", "qcow2")
    appliances.ova(Path("image.tar"), {"disk.qcow2": Path("disk.qcow2").read_bytes()})
    Path("image.tar.gz").write_bytes(gzip.compress(Path("image.tar").read_bytes()))
    for name in ("image.tar", "image.tar.gz"):
        assert run("manifest", "generate", name, ".", "--force").status == 0
        written = json.loads(Path(f"{Path(name).stem}-manifest.json").read_bytes())
        assert written["pipeline"]["load"]["source_type"] == "ami"
        assert written["name"] == "image"
