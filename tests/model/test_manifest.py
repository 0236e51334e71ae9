"""Workflow manifests: all problems at once with codes and paths, warnings, and the guests that come out."""

import copy
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model import manifest
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.manifest import MAX_GUESTS, json_schema, read_manifest, submit_phrase
from hypersdkd.model.problem import CODES, Problem
from hypersdkd.model.replies import Validation

PIPELINE = {
    "load": {"source_type": "vmdk", "source_path": "/srv/web01.vmdk"},
    "convert": {"output_format": "qcow2"},
}
EVERYTHING = {
    "load": {"source_type": "VMDK", "source_path": "web01.vmdk", "trust_source_type": True},
    "inspect": {"enabled": True, "detect_os": True},
    "fix": {
        "fstab": {"enabled": True, "mode": "stabilize-all"},
        "grub": {"enabled": True},
        "initramfs": {"enabled": True, "regenerate": True},
        "network": {"enabled": True, "fix_level": "full"},
    },
    "convert": {"output_format": "raw", "compress": True, "output_path": "out/web01.raw"},
    "validate": {"enabled": True, "boot_test": False, "compare": True, "checksums": True},
}


def single(**changes: object) -> dict[str, object]:
    return {"version": "1.0", "pipeline": copy.deepcopy(PIPELINE)} | changes


def with_stage(stage: str, **values: object) -> dict[str, object]:
    return single(pipeline={**PIPELINE, stage: {**PIPELINE.get(stage, {}), **values}})


def read(document: object) -> Validation:
    return read_manifest(json.dumps(document).encode())


def problems(document: object) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in read(document).problems]


def test_a_minimal_manifest_is_one_guest() -> None:
    validation = read(single())
    assert validation.valid
    assert validation.parsed
    assert not validation.batch
    assert validation.guests == (Guest("", (DiskSource("vmdk", "/srv/web01.vmdk"),)),)
    assert validation.document == single()


def test_everything_that_is_asked_for_reaches_the_guest() -> None:
    validation = read(single(name="web01", pipeline=EVERYTHING))
    assert not validation.warnings
    assert validation.name == "web01"
    assert validation.guests == (
        Guest(
            name="web01",
            disks=(DiskSource("vmdk", "web01.vmdk", trusted=True),),
            output_format="raw",
            compress=True,
            output_path="out/web01.raw",
            compare=True,
            checksums=True,
            inspect=EVERYTHING["inspect"],
            fix=EVERYTHING["fix"],
            validate=EVERYTHING["validate"],
        ),
    )


def test_disks_in_boot_order() -> None:
    disks = [
        {"source_type": "vmdk", "source_path": "a.vmdk"},
        {"source_type": "raw", "source_path": "b.img", "trust_source_type": True},
    ]
    (guest,) = read(single(pipeline={**PIPELINE, "load": {"disks": disks}})).guests
    assert guest.disks == (DiskSource("vmdk", "a.vmdk"), DiskSource("raw", "b.img", trusted=True))


def test_disks_and_a_source_exclude_each_other() -> None:
    disk = {"source_type": "vmdk", "source_path": "a.vmdk"}
    document = with_stage("load", disks=[disk])
    assert problems(document) == [
        ("manifest-value", "pipeline.load.source_type"),
        ("manifest-value", "pipeline.load.source_path"),
    ]
    assert problems(single(pipeline={**PIPELINE, "load": {"disks": []}})) == [
        ("manifest-required", "pipeline.load.disks")
    ]
    many = {"disks": [disk] * 257}
    assert problems(single(pipeline={**PIPELINE, "load": many})) == [("manifest-value", "pipeline.load.disks")]


def test_all_problems_at_once_in_the_order_of_the_keys() -> None:
    document = {
        "pipeline": {
            "load": {"source_type": "floppy"},
            "fix": {"fstab": {"mode": "magic"}, "network": {"enabled": "yes"}},
            "convert": {"output_format": "vhd", "compress": 1},
            "validate": {"boot_test": "no"},
        }
    }
    assert problems(document) == [
        ("manifest-required", "version"),
        ("manifest-value", "pipeline.load.source_type"),
        ("manifest-required", "pipeline.load.source_path"),
        ("manifest-value", "pipeline.fix.fstab.mode"),
        ("manifest-type", "pipeline.fix.network.enabled"),
        ("manifest-value", "pipeline.convert.output_format"),
        ("manifest-type", "pipeline.convert.compress"),
        ("manifest-type", "pipeline.validate.boot_test"),
    ]


@pytest.mark.parametrize(
    ("document", "message", "remedy"),
    [
        (single(version="2.0"), 'version "2.0" is not known here', 'Set version to "1.0".'),
        (
            with_stage("convert", output_format="qcow"),
            'pipeline.convert.output_format "qcow" is not one of: qcow2, raw, vdi, vmdk',
            'Write "qcow2".',
        ),
        (
            with_stage("fix", fstab={"mode": "stabilise"}),
            'pipeline.fix.fstab.mode "stabilise" is not one of: stabilize-all, bypath-only, noop',
            'Write "stabilize-all".',
        ),
        (
            with_stage("convert", compress="yes"),
            "pipeline.convert.compress must be true or false, found text",
            CODES["manifest-type"].remedy,
        ),
    ],
)
def test_messages_and_remedies(document: object, message: str, remedy: str) -> None:
    (problem,) = read(document).problems
    assert (problem.message, problem.remedy) == (message, remedy)


def test_a_number_as_version_is_no_version_and_the_remedy_says_why() -> None:
    (problem,) = read_manifest(
        b"version: 1.0\npipeline:\n  load: {source_type: raw, source_path: /a}\n  convert: {output_format: raw}"
    ).problems
    assert problem.message == "version is required"
    assert problem.detail == "version must be text, found a number"
    assert problem.remedy == "Write version in quotes."


def test_where_a_part_is_off_its_empty_texts_are_fine() -> None:
    parts = {"fstab": {"enabled": False, "mode": ""}, "network": {"enabled": False, "fix_level": ""}}
    assert read(with_stage("fix", **parts)).valid
    on = {"fstab": {"enabled": True, "mode": ""}, "network": {"fix_level": ""}}
    assert problems(with_stage("fix", **on)) == [
        ("manifest-required", "pipeline.fix.fstab.mode"),
        ("manifest-required", "pipeline.fix.network.fix_level"),
    ]
    assert read(with_stage("fix", enabled=False, **on)).valid
    off_and_wrong = {"fstab": {"enabled": False, "mode": "magic"}}
    assert problems(with_stage("fix", **off_and_wrong)) == [("manifest-value", "pipeline.fix.fstab.mode")]


def test_null_counts_as_absent() -> None:
    nothing = {"inspect": None, "fix": None, "validate": None}
    document = single(name=None, batch=None, vms=None, pipeline={**PIPELINE, **nothing})
    validation = read(document)
    assert validation.valid
    assert not validation.warnings
    assert read(with_stage("convert", compress=None, output_path=None)).valid
    assert problems(with_stage("load", source_path=None)) == [("manifest-required", "pipeline.load.source_path")]


@pytest.mark.parametrize("path", ["a\0b", "x" * 4097, "é" * 2049])
def test_paths_that_no_kernel_takes(path: str) -> None:
    assert problems(with_stage("load", source_path=path)) == [("manifest-value", "pipeline.load.source_path")]
    assert problems(with_stage("convert", output_path=path)) == [("manifest-value", "pipeline.convert.output_path")]


def test_hostile_values_do_not_break_the_line() -> None:
    document = with_stage("load", source_type="\x1b[2J\nERROR\u2028" * 50) | {"\n\x07": 1, "version": "\x9b"}
    validation = read(document)
    assert len(validation.problems) == 2
    for problem in (*validation.problems, *validation.warnings):
        assert problem.message.isprintable()
        assert problem.path.isprintable()
        assert len(problem.message) < 600


def test_names() -> None:
    for name in ("../../evil", "a/b", ".hidden", "a\nb", "a\x1b[31m", "a\u2028b", "\0"):
        assert problems(single(name=name)) == [("name-invalid", "name")]
    assert read(single(name="n" * 255)).valid
    assert problems(single(name="n" * 256)) == [("manifest-value", "name")]
    for name in (5, True, [], {}):
        validation = read(single(name=name))
        assert validation.valid
        assert validation.name == validation.guests[0].name == ""
        assert [(warning.code, warning.path) for warning in validation.warnings] == [("manifest-type", "name")]


def batch(*vms: object, **changes: object) -> dict[str, object]:
    return {"version": "1.0", "batch": True, "vms": list(vms), **changes}


def test_each_guest_of_a_batch() -> None:
    other = {**PIPELINE, "convert": {"output_format": "vdi"}}
    validation = read(batch({"name": "a", "pipeline": PIPELINE}, {"name": "b", "pipeline": other}, name="nightly"))
    assert validation.batch
    assert validation.name == "nightly"
    assert [(guest.name, guest.output_format) for guest in validation.guests] == [("a", "qcow2"), ("b", "vdi")]


def test_the_problems_of_guests_have_their_paths_and_phrases() -> None:
    validation = read(
        batch(
            {"name": "a", "pipeline": PIPELINE},
            {"pipeline": {**PIPELINE, "load": {"source_type": "raw"}}},
            7,
            {"name": "", "pipeline": {}},
            {"name": 5, "pipeline": PIPELINE},
            {"name": "a", "pipeline": PIPELINE},
        )
    )
    assert [problem.message for problem in validation.problems] == [
        "vms[1].name is required",
        "vms[1].pipeline.load.source_path is required",
        "vms[2] must be an object, found a number",
        "vms[3].name is required",
        "vms[3].pipeline.load is required",
        "vms[3].pipeline.convert is required",
        "vms[4].name must be text, found a number",
        'vms[5].name "a" is that of vms[0] too',
    ]
    assert not validation.guests


def test_only_true_makes_a_batch() -> None:
    for value in ("true", 1, False, [True]):
        validation = read({**batch({"name": "a", "pipeline": PIPELINE}), "batch": value})
        assert [problem.message for problem in validation.problems] == ["pipeline is required"]
        assert not validation.batch
        assert "vms" in [warning.path for warning in validation.warnings]


def test_the_number_of_guests_is_limited() -> None:
    assert problems(batch(*[0] * (MAX_GUESTS + 1))) == [("manifest-too-many-guests", "vms")]


def test_the_number_of_problems_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_PROBLEMS", 5)
    found = read(batch(*[{"name": f"g{number}"} for number in range(50)])).problems
    assert len(found) == 7
    assert found[-1].message == "From vms[6] on the guests were not looked at"


def test_a_batch_of_the_largest_size_is_fast() -> None:
    vms = [{"name": f"guest-{number}", "pipeline": EVERYTHING} for number in range(MAX_GUESTS)]
    text = json.dumps(batch(*vms)).encode()
    start = time.process_time()
    validation = read_manifest(text)
    assert time.process_time() - start < 5
    assert validation.valid
    assert len(validation.guests) == MAX_GUESTS


def warnings(document: object) -> list[tuple[str, str]]:
    return [(warning.path, warning.message) for warning in read(document).warnings]


def test_unknown_keys_are_warnings_with_what_was_meant() -> None:
    document = with_stage("fix", fstb={}, network={"Fix_Level": "full"}) | {"pipelin": {}, "x y": 1}
    assert warnings(document) == [
        ("pipeline.fix.fstb", 'pipeline.fix.fstb is not a known key; did you mean "fstab"?'),
        (
            "pipeline.fix.network.Fix_Level",
            'pipeline.fix.network.Fix_Level is not a known key; did you mean "fix_level"?',
        ),
        ("pipelin", 'pipelin is not a known key; did you mean "pipeline"?'),
        ('["x y"]', '["x y"] is not a known key'),
    ]
    assert read(document).valid
    assert all(warning.remedy for warning in read(document).warnings)


def test_the_number_of_warnings_for_unknown_keys_is_limited() -> None:
    found = warnings(single(**{f"key{number}": 0 for number in range(5000)}))
    assert len(found) == 101
    assert found[-1] == ("", "More than 100 keys are not known")


def test_what_this_build_cannot_do_is_a_warning() -> None:
    asked = with_stage("convert", enabled=False)
    assert [(warning.code, warning.path) for warning in read(asked).warnings] == [
        ("manifest-unsupported", "pipeline.convert.enabled")
    ]
    assert not read(with_stage("validate", boot_test=True)).warnings


def test_each_guest_gets_its_own_warnings_and_those_of_the_document() -> None:
    off = {**PIPELINE, "convert": {**PIPELINE["convert"], "enabled": False}}  # type: ignore[dict-item]
    vms = [{"name": f"g{number}", "pipeline": off if number in (1, 11) else PIPELINE} for number in range(12)]
    validation = read(batch(*vms, nme="x"))
    for number, guest in enumerate(validation.guests):
        paths = [warning["path"] for warning in guest.warnings]
        own = [f"vms[{number}].pipeline.convert.enabled"] if number in (1, 11) else []
        assert paths == ["nme", *own]


def test_every_code_is_in_the_catalogue() -> None:
    for document in ({}, batch(1), single(version="9", name=5, foo=1), with_stage("load", source_type=5)):
        validation = read(document)
        for problem in (*validation.problems, *validation.warnings):
            assert problem.code in CODES
            assert problem.remedy


@pytest.mark.parametrize(
    ("problem", "phrase"),
    [
        (
            Problem("manifest-required", "pipeline is required"),
            "Invalid manifest: pipeline is required for single VM manifest",
        ),
        (Problem("manifest-required", "vms[1].pipeline is required"), "Invalid manifest: vms[1].pipeline is required"),
        (Problem("document-syntax", "Extra data"), "Invalid JSON: Extra data"),
        (Problem("document-too-large", "too many"), "Failed to read request: too many"),
    ],
)
def test_submit_phrases(problem: Problem, phrase: str) -> None:
    assert submit_phrase(problem) == phrase


def test_the_schema_knows_the_keys_and_choices_of_the_models() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    assert set(definitions["Pipeline"]["properties"]) == {"load", "inspect", "fix", "convert", "validate"}
    assert set(definitions["Pipeline"]["required"]) == {"load", "convert"}
    assert definitions["Convert"]["properties"]["output_format"]["enum"] == ["qcow2", "raw", "vdi", "vmdk"]
    assert "ami" in definitions["Load"]["properties"]["source_type"]["enum"]
    assert set(definitions["ArtifactDisk"]["required"]) == {"id", "source_format", "bytes", "local_path"}
    assert definitions["SingleManifest"]["properties"]["version"]["const"] == "1.0"
    assert not any(
        "additionalProperties" in part and part["additionalProperties"] is False for part in definitions.values()
    )


ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.just([])
    | st.just({})
)


@given(st.data())
def test_a_manifest_with_anything_anywhere_is_judged(data: st.DataObject) -> None:
    document = {"version": "1.0", "name": "x", "pipeline": copy.deepcopy(EVERYTHING)}
    if data.draw(st.booleans()):
        document = batch(
            {"name": "x", "pipeline": document["pipeline"]}, {"name": "y", "pipeline": copy.deepcopy(PIPELINE)}
        )
    node: object = document
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))  # type: ignore[arg-type]
        key = data.draw(st.sampled_from(keys))
        child = node[key]  # type: ignore[index]
        if not isinstance(child, dict | list) or not child or data.draw(st.booleans()):
            node[key] = data.draw(ODD)  # type: ignore[index]
            break
        node = child
    validation = read(document)
    assert validation.parsed
    assert validation.valid == bool(validation.guests)
    for guest in validation.guests:
        assert Guest.from_dict(json.loads(json.dumps(guest.as_dict()))).name == guest.name


@given(st.binary(max_size=300), st.sampled_from(["", "json", "yaml"]))
def test_any_bytes_are_judged(text: bytes, syntax: str) -> None:
    validation = read_manifest(text, syntax)
    assert validation.parsed or not validation.valid


def test_a_manifest_of_50_mb_is_refused_at_once() -> None:
    text = b'{"version": "1.0", "pad": [' + b'"x",' * (50 * 1024 * 1024 // 4)
    start = time.process_time()
    (problem,) = read_manifest(text).problems
    assert time.process_time() - start < 0.1
    assert problem.code == "document-too-large"


def test_a_dry_run_is_the_guests() -> None:
    wish = {"dry_run": True}
    assert [guest.dry_run for guest in read(single(options=wish)).guests] == [True]
    assert [guest.dry_run for guest in read(single()).guests] == [False]
    vms = [{"name": name, "pipeline": PIPELINE} for name in ("a", "b")]
    assert [guest.dry_run for guest in read(batch(*vms) | {"options": wish}).guests] == [True, True]
    assert problems(single(options={"dry_run": "yes"})) == [("manifest-type", "options.dry_run")]


def test_who_changes_the_guest() -> None:
    asked = read(with_stage("fix", engine="virt-v2v", fstab={"mode": "noop"}))
    assert asked.valid and asked.guests[0].fix == {"engine": "virt-v2v", "fstab": {"mode": "noop"}}
    assert [(warning.code, warning.path) for warning in asked.warnings] == [
        ("manifest-unsupported", "pipeline.fix.fstab")
    ]
    assert problems(with_stage("fix", engine="v2v")) == [("manifest-value", "pipeline.fix.engine")]
    assert read(with_stage("fix", enabled=False, engine="")).valid


@pytest.mark.parametrize(("seconds", "valid"), [(10, True), (86400, True), (9, False), (86401, False), ("60", False)])
def test_how_long_a_boot_may_take(seconds: object, valid: bool) -> None:
    assert read(with_stage("validate", boot_test=True, boot_seconds=seconds)).valid is valid
