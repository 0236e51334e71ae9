"""Job configs: hyper2kvm's flat words become the guests that a manifest would say."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.guest import DiskSource
from hypersdkd.model.job_config import (
    fixes,
    job_config_inputs,
    json_schema,
    numbered,
    read_job_config,
    shown_kind,
    sibling,
)
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.manifest_workflow import MAX_GUESTS, Fix
from hypersdkd.model.place import problem_place
from hypersdkd.model.replies import JOB_CONFIG, Validation

PIPELINE = {"load": {"source_type": "raw", "source_path": "a.raw"}, "convert": {"output_format": "raw"}}


def read(document: object) -> Validation:
    validation = read_job_config(json.dumps(document).encode())
    assert validation is not None
    assert validation.taken_for == JOB_CONFIG
    assert bool(validation.problems) == (not validation.guests)
    assert all(problem.remedy for problem in validation.problems)
    return validation


def problems(document: object) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in read(document).problems]


def warnings(document: object) -> list[str]:
    return [warning.message for warning in read(document).warnings]


def test_one_with_every_key_as_a_user_writes_it() -> None:
    text = b"""\
input: /srv/web.VMDK
output_format: vmdk
compress: true
flatten: true
fstab_mode: bypath-only
regen_initramfs: false
fix_grub: true
fix_network: false
"""
    validation = read_job_config(text, "yaml")
    assert validation is not None
    assert (validation.problems, validation.warnings, validation.batch) == ((), (), False)
    (guest,) = validation.guests
    assert guest.disks == (DiskSource("vmdk", "/srv/web.VMDK"),)
    assert (guest.name, guest.output_format, guest.compress, guest.output_path) == ("", "vmdk", True, "")
    assert guest.fix == {
        "fstab": {"enabled": True, "mode": "bypath-only"},
        "grub": {"enabled": True},
        "initramfs": {"enabled": False, "regenerate": False},
        "network": {"enabled": False, "fix_level": "none"},
    }


def test_what_is_absent_or_null_is_as_in_hyper2kvm() -> None:
    for document in ({"input": "a.img"}, {"input": "a.img", "compress": None, "fstab_mode": None, "jobs": None}):
        (guest,) = read(document).guests
        assert (guest.disks[0].source_type, guest.output_format, guest.compress) == ("raw", "qcow2", False)
        assert guest.fix == fixes()
        assert not read(document).batch


@pytest.mark.parametrize("mode", ["stabilize-all", "bypath-only", "noop"])
@pytest.mark.parametrize("on", [True, False])
def test_fixes_are_a_manifests(mode: str, on: bool) -> None:
    fix = Fix.model_validate(fixes(mode, initramfs=on, grub=on, network=on))
    assert fix.fstab and fix.grub and fix.initramfs and fix.network
    assert (fix.fstab.enabled, fix.fstab.mode) == (mode != "noop", mode)
    assert {fix.grub.enabled, fix.initramfs.enabled, fix.initramfs.regenerate, fix.network.enabled} == {on}


def test_a_list_of_jobs_is_a_guest_each() -> None:
    validation = read({"jobs": [{"input": "a.vdi"}, {"input": "b.vhdx", "output_format": "raw"}]})
    assert validation.batch
    assert [guest.disks[0].source_type for guest in validation.guests] == ["vdi", "vhdx"]
    named = numbered(validation.guests, "friday")
    assert [(guest.name, guest.output_format) for guest in named] == [("friday_job1", "qcow2"), ("friday_job2", "raw")]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, [("manifest-required", "input")]),
        ({"input": ""}, [("manifest-required", "input")]),
        ({"input": 3}, [("manifest-type", "input")]),
        ({"input": "disk"}, [("manifest-value", "input")]),
        ({"input": "disk.iso"}, [("manifest-value", "input")]),
        ({"input": "a.raw\0"}, [("manifest-value", "input")]),
        ({"input": "a.raw", "output_format": "qcow"}, [("manifest-value", "output_format")]),
        (
            {"input": "a.raw", "compress": "yes", "flatten": 1, "fstab_mode": "all", "fix_grub": "on"},
            [("manifest-type", key) for key in ("compress", "flatten")]
            + [("manifest-value", "fstab_mode"), ("manifest-type", "fix_grub")],
        ),
        ({"jobs": []}, [("manifest-required", "jobs")]),
        ({"jobs": {"input": "a.raw"}}, [("manifest-type", "jobs")]),
        ({"jobs": [{"input": "a.raw"}] * (MAX_GUESTS + 1)}, [("manifest-too-many-guests", "jobs")]),
        (
            {"jobs": [{"input": "a.raw"}, {}, 3, {"input": "b.raw", "compress": 0}]},
            [
                ("manifest-required", "jobs[1].input"),
                ("manifest-type", "jobs[2]"),
                ("manifest-type", "jobs[3].compress"),
            ],
        ),
    ],
)
def test_all_that_is_wrong_is_told_at_once_with_its_place(document: object, expected: list[tuple[str, str]]) -> None:
    assert problems(document) == expected


def test_the_remedies_help() -> None:
    (unknown,) = read({"input": "disk.iso"}).problems
    assert "disk.iso" in unknown.message
    assert ".qcow2" in unknown.remedy and "manifest" in unknown.remedy
    (format_,) = read({"input": "a.raw", "output_format": "qcow"}).problems
    assert format_.remedy == 'Write "qcow2".'
    assert "at least one" in read({"jobs": []}).problems[0].remedy


def test_what_nothing_reads_is_a_warning_with_what_was_meant() -> None:
    assert warnings({"input": "a.raw", "compres": True}) == ['compres is not a known key; did you mean "compress"?']
    assert warnings({"job": [], "input": "a.raw"}) == ['job is not a known key; did you mean "jobs"?']
    assert warnings({"jobs": [{"input": "a.raw", "fix-grub": True}], "compress": True, "imput": "x"}) == [
        "compress is not read beside jobs",
        'jobs[0].fix-grub is not a known key; did you mean "fix_grub"?',
        "imput is not a known key",
    ]
    guests = read({"jobs": [{"input": "a.raw", "x": 1}, {"input": "a.raw"}], "y": 1}).guests
    assert [[warning["path"] for warning in guest.warnings] for guest in guests] == [["y", "jobs[0].x"], ["y"]]


def test_a_problem_has_a_line_and_a_column() -> None:
    text = b"jobs:\n  - input: a.raw\n  - input: b.iso\n"
    validation = read_job_config(text, "yaml")
    assert validation is not None
    assert problem_place(text, "yaml", validation.problems[0]) == (3, 5)


@pytest.mark.parametrize("text", [b"", b"{bad", b"[]", b"\xef\xbb\xbf{}", b"a: 1\na: 2", b"- 1", b"[" * 100])
def test_what_is_no_document_is_told_as_such(text: bytes) -> None:
    validation = read_job_config(text)
    assert validation is not None
    assert not validation.parsed
    assert validation.problems[0].code.startswith("document-")
    assert job_config_inputs(text) == ()


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"pipeline": {}}, "manifest"),
        ({"batch": True}, "manifest"),
        ({"vms": []}, "manifest"),
        ({"manifest_version": "1.0", "disks": []}, "manifest"),
        ({"input": "a.raw", "pipeline": {}}, "manifest"),
        ({"input": "a.raw"}, "job-config"),
        ({"jobs": []}, "job-config"),
        ({"version": "1.0"}, ""),
        ({}, ""),
    ],
)
def test_manifests_are_told_by_their_keys(document: dict[str, object], kind: str) -> None:
    assert shown_kind(document) == kind
    assert (read_job_config(json.dumps(document).encode()) is None) == (kind == "manifest")


def test_inputs_that_lie_beside_it() -> None:
    jobs = [
        {"input": each}
        for each in ("a.vmdk", "./b.raw", "a.vmdk", "../c.raw", "d/e.raw", "g.raw/", "g.raw/.", "/f.raw", ".", "", 3)
    ]
    assert job_config_inputs(json.dumps({"jobs": [*jobs, 4]}).encode()) == ("a.vmdk", "b.raw")
    assert job_config_inputs(b"input: a.vmdk\n", "yaml") == ("a.vmdk",)
    assert job_config_inputs(b'{"input": "a.vmdk", "output_format": "no such"}') == ("a.vmdk",)
    assert job_config_inputs(json.dumps({"version": "1.0", "pipeline": PIPELINE}).encode()) == ("a.raw",)
    assert job_config_inputs(b'{"version": "1.0"}') == ()


@given(st.text())
def test_a_sibling_is_one_plain_name_that_the_path_means(path: str) -> None:
    name = sibling(path)
    if name:
        assert "/" not in name and "\0" not in name and name not in {".", ".."}
        assert path.removesuffix(name).strip("./") == ""
        assert len(name.encode("utf-8", "surrogatepass")) <= 255


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["input", "jobs", "compress", "output_format", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_no_document_breaks_it(document: object) -> None:
    text = json.dumps(document).encode()
    validation = read_job_config(text, "json")
    assert validation is not None
    assert validation.valid == bool(validation.guests)
    named = {sibling(guest.disks[0].source_path) for guest in validation.guests} - {""}
    assert named <= set(job_config_inputs(text, "json"))


@pytest.mark.parametrize(
    "document",
    [
        {"input": "a.raw"},
        {"input": "a.raw", "compress": True, "fstab_mode": "noop", "output_format": "raw"},
        {"jobs": [{"input": "a.raw"}]},
        {"jobs": []},
        {},
        {"input": 3},
        {"input": "a.raw", "compress": "yes"},
        {"jobs": [{"input": "a.raw", "output_format": "qcow"}]},
    ],
)
def test_the_schema_says_the_same(document: object) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(document) == read(document).valid


def test_a_manifests_rules_do_not_know_job_configs() -> None:
    assert read_manifest(b'{"input": "a.raw"}').problems[0].message == "version is required"
