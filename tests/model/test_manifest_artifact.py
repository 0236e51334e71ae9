"""Artifact manifests: what an exporter wrote beside its disks."""

import json

import pytest

from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.replies import Validation

HEX = "0123456789abcdef" * 4


def disk(**changes: object) -> dict[str, object]:
    return {"id": "d0", "source_format": "vmdk", "bytes": 1024, "local_path": "/srv/a.vmdk"} | changes


def artifact(*disks: object, **changes: object) -> dict[str, object]:
    return {"manifest_version": "1.0", "disks": list(disks or [disk()]), **changes}


def read(document: object) -> Validation:
    return read_manifest(json.dumps(document).encode())


def problems(document: object) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in read(document).problems]


def test_a_minimal_one_becomes_qcow2() -> None:
    validation = read(artifact())
    assert not validation.warnings
    assert validation.guests == (Guest("", (DiskSource("vmdk", "/srv/a.vmdk", size=1024),), output_format="qcow2"),)


def test_a_full_one() -> None:
    document = artifact(
        disk(id="data", local_path="data.raw", source_format="RAW", disk_type="data", label="x"),
        disk(id="boot", boot_order_hint=0, checksum="sha256:" + HEX.upper(), disk_type="boot"),
        source={"provider": "vsphere", "vm_name": "web"},
        vm={"cpu": 4, "firmware": "uefi"},
        nics=[{"mac": "00:50:56:00:00:01"}],
        notes=["x"],
        warnings=[{"stage": "export"}],
        metadata={"job_id": "j"},
        pipeline={
            "inspect": {"enabled": True, "collect_guest_info": True},
            "fix": {"enabled": True, "backup": True},
            "convert": {"enabled": True, "compress": True},
            "validate": {"enabled": True, "check_image_integrity": True, "compare": True},
        },
        output={"directory": "/srv/out", "format": "raw"},
        options={"dry_run": False},
    )
    validation = read(document)
    assert not validation.warnings
    assert validation.name == ""
    assert validation.guests == (
        Guest(
            name="web",
            disks=(
                DiskSource("vmdk", "/srv/a.vmdk", size=1024, checksum=f"sha256:{HEX}"),
                DiskSource("raw", "data.raw", size=1024),
            ),
            output_format="raw",
            compress=True,
            output_path="/srv/out/",
            compare=True,
            checksums=True,
            inspect={"enabled": True, "collect_guest_info": True},
            fix={"enabled": True, "backup": True},
            validate={"enabled": True, "check_image_integrity": True, "compare": True},
            told={
                "hardware": {"cpus": 4, "firmware": "uefi"},
                "nics": [{"mac": "00:50:56:00:00:01", "network": ""}],
            },
        ),
    )


def test_the_lowest_hint_boots_and_equal_ones_keep_their_order() -> None:
    hints = (None, 3, 0, 3, None)
    disks = [
        disk(id=f"d{number}", local_path=f"{number}", **({} if hint is None else {"boot_order_hint": hint}))
        for number, hint in enumerate(hints)
    ]
    (guest,) = read(artifact(*disks)).guests
    assert [source.source_path for source in guest.disks] == ["2", "1", "3", "0", "4"]


def test_the_stage_decides_before_the_output() -> None:
    convert = {"output_format": "vdi", "output_path": "x.vdi"}
    (guest,) = read(artifact(output={"directory": "/srv", "format": "raw"}, pipeline={"convert": convert})).guests
    assert (guest.output_format, guest.output_path) == ("vdi", "x.vdi")


def test_the_name() -> None:
    assert read(artifact(name="n", vm={"name": "v"}, source={"vm_name": "s"})).guests[0].name == "n"
    assert read(artifact(vm={"name": "v"}, source={"vm_name": "s"})).guests[0].name == "v"
    assert read(artifact(vm={"name": 5}, source={"vm_name": "s" * 256})).guests[0].name == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"bytes": 0}, "manifest-value"),
        ({"bytes": -1}, "manifest-value"),
        ({"bytes": 2**63}, "manifest-value"),
        ({"bytes": True}, "manifest-type"),
        ({"bytes": 1024.0}, "manifest-type"),
        ({"bytes": "1024"}, "manifest-type"),
        ({"bytes": None}, "manifest-required"),
        ({"checksum": "sha256:abc"}, "manifest-value"),
        ({"checksum": f"md5:{HEX}"}, "manifest-value"),
        ({"checksum": f"sha256:{HEX}\n"}, "manifest-value"),
        ({"source_format": "floppy"}, "manifest-value"),
        ({"local_path": ""}, "manifest-required"),
        ({"local_path": "a\0b"}, "manifest-value"),
        ({"id": ""}, "manifest-required"),
        ({"id": 1}, "manifest-type"),
        ({"boot_order_hint": -1}, "manifest-value"),
        ({"boot_order_hint": False}, "manifest-type"),
    ],
)
def test_bad_disks(changes: dict[str, object], code: str) -> None:
    assert problems(artifact(disk(**changes))) == [(code, f"disks[0].{next(iter(changes))}")]


def test_all_problems_at_once() -> None:
    document = artifact(disk(), disk(bytes=0), disk(id="x"), manifest_version="2.0", options={"dry_run": True})
    assert problems(document) == [
        ("manifest-version", "manifest_version"),
        ("manifest-value", "disks[1].bytes"),
        ("manifest-duplicate-disk", "disks[1].id"),
    ]
    assert problems({"manifest_version": "1.0"}) == [("manifest-required", "disks")]
    assert problems({"manifest_version": "1.0", "disks": []}) == [("manifest-required", "disks")]
    assert problems({"manifest_version": "1.0", "disks": [5]}) == [("manifest-type", "disks[0]")]


def test_unknown_keys_and_what_cannot_be_done_are_warnings() -> None:
    document = artifact(disk(chksum="x"), pipeline={"convert": {"enabled": False}, "validate": {"boot_test": True}})
    assert [(warning.code, warning.path) for warning in read(document).warnings] == [
        ("manifest-unknown-key", "disks[0].chksum"),
        ("manifest-unsupported", "pipeline.convert.enabled"),
    ]


def test_a_version_makes_it_a_workflow_manifest() -> None:
    assert ("manifest-required", "pipeline") in problems(artifact(version="1.0"))


def test_it_is_never_a_batch() -> None:
    validation = read(artifact(batch=True))
    assert validation.valid
    assert not validation.batch
    assert [warning.path for warning in validation.warnings] == ["batch"]


def test_a_dry_run_is_the_guests() -> None:
    assert [read(artifact(disk(), options={"dry_run": wish})).guests[0].dry_run for wish in (True, False)] == [
        True,
        False,
    ]
