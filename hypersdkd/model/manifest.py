"""Manifests, version 1.0, of both dialects: read, judged as a whole, and turned into guests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydantic import ValidationError
from pydantic.json_schema import models_json_schema

from hypersdkd.model.document import parse_document
from hypersdkd.model.guest import DiskSource, FilePromise, Guest
from hypersdkd.model.guest_hardware import told_hardware
from hypersdkd.model.guest_wishes import CONCERNS
from hypersdkd.model.manifest_artifact import ArtifactManifest
from hypersdkd.model.manifest_fields import MAX_DISKS
from hypersdkd.model.manifest_problems import (
    ONE_VM,
    VMS_ARRAY,
    problems_of,
    submit_phrase,
    unknown_keys,
    with_warnings,
)
from hypersdkd.model.manifest_workflow import (
    MAX_GUESTS,
    BatchGuest,
    BatchHead,
    BatchManifest,
    Load,
    LoadFile,
    Pipeline,
    SingleManifest,
)
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import Validation
from hypersdkd.model.wording import shown

__all__ = ["MAX_GUESTS", "json_schema", "read_manifest", "submit_phrase"]

#: Problems of a batch after which its further guests are not looked at: each takes memory, and nobody reads more.
MAX_PROBLEMS: Final = 20_000

_MODELS: Final = (SingleManifest, BatchManifest, ArtifactManifest)


def read_manifest(text: bytes, syntax: str = "") -> Validation:
    """Judge a manifest: every problem and warning, and the guests if there is no problem.

    ``syntax`` is ``json``, ``yaml`` or empty (find out). Never raises for any text. Source paths stay as
    given; the name of a single guest is the manifest's, or empty.
    """
    try:
        document = parse_document(text, syntax)
    except ProblemError as error:
        return Validation(problems=(error.problem,), parsed=False)
    value = document.value
    batch = value.get("batch") is True and "manifest_version" not in value
    if batch:
        result = _batch(value)
    elif "manifest_version" in value and "version" not in value:
        result = _artifact(value)
    else:
        result = _single(value)
    problems, warnings, guests = result
    warnings = (*document.warnings, *_ignored(value), *warnings)
    name = value.get("name")
    return Validation(
        problems=problems,
        warnings=warnings,
        name=name if isinstance(name, str) else "",
        batch=batch,
        guests=() if problems else with_warnings(guests, warnings, "vms"),
        document=value,
    )


def json_schema(reference: str = "#/$defs/{model}") -> dict[str, object]:
    """JSON Schema (2020-12) of every manifest that is read, from the models that read them.

    ``reference`` is how its definitions, which are in ``$defs``, are referred to.
    """
    references, definitions = models_json_schema([(model, "validation") for model in _MODELS], ref_template=reference)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Manifest",
        "anyOf": [references[model, "validation"] for model in _MODELS],
        **definitions,
    }


_Judgement = tuple[tuple[Problem, ...], tuple[Problem, ...], tuple[Guest, ...]]


def _single(value: Mapping[str, object]) -> _Judgement:
    warnings = unknown_keys(SingleManifest, value)
    try:
        manifest = SingleManifest.model_validate(value)
    except ValidationError as error:
        return problems_of(error), warnings, ()
    raw = _member(value, "pipeline")
    guest = replace(_guest(manifest.name, manifest.pipeline, raw), dry_run=manifest.options.dry_run)
    return (), (*warnings, *_unsupported(raw, "pipeline")), (guest,)


def _batch(value: Mapping[str, object]) -> _Judgement:
    vms = value.get("vms")
    if isinstance(vms, list) and len(vms) > MAX_GUESTS:
        message = f"The batch holds {len(vms)} guests; {MAX_GUESTS} are allowed"
        return (Problem("manifest-too-many-guests", message, path="vms"),), (), ()
    warnings = list(unknown_keys(BatchManifest, value))
    problems: list[Problem] = []
    dry_run = False
    try:
        dry_run = BatchHead.model_validate(value).options.dry_run
    except ValidationError as error:
        problems.extend(problems_of(error))
    rows: list[object] = vms if isinstance(vms, list) else []
    if not rows:
        code = "manifest-required" if not vms else "manifest-type"
        problems.append(Problem(code, ONE_VM if isinstance(vms, list) else VMS_ARRAY, path="vms"))
    guests: list[Guest] = []
    for index, row in enumerate(rows):
        path = f"vms[{index}]"
        if len(problems) > MAX_PROBLEMS:
            problems.append(Problem("manifest-value", f"From {path} on the guests were not looked at", path=path))
            break
        try:
            vm = BatchGuest.model_validate(row)
        except ValidationError as error:
            problems.extend(problems_of(error, path))
            continue
        raw = _member(row, "pipeline")
        guests.append(replace(_guest(vm.name, vm.pipeline, raw), dry_run=dry_run))
        warnings.extend(_unsupported(raw, f"{path}.pipeline"))
    problems.extend(_repeated(rows, "vms", "name", "manifest-value"))
    return tuple(problems), tuple(warnings), tuple(guests)


def _artifact(value: Mapping[str, object]) -> _Judgement:
    warnings = unknown_keys(ArtifactManifest, value)
    disks = value.get("disks")
    rows = disks[:MAX_DISKS] if isinstance(disks, list) else []
    problems = _repeated(rows, "disks", "id", "manifest-duplicate-disk")
    try:
        manifest = ArtifactManifest.model_validate(value)
    except ValidationError as error:
        return (*problems_of(error), *problems), warnings, ()
    raw = _member(value, "pipeline")
    warnings += _unsupported(raw, "pipeline")
    convert, validate = manifest.pipeline.convert, manifest.pipeline.validation
    output_format = convert.output_format or manifest.output.format or "qcow2"
    sources = tuple(disk.source() for disk in manifest.boot_order())
    guest = Guest(
        name=manifest.guest_name(),
        disks=sources,
        output_format=output_format,
        compress=convert.compress,
        output_path=convert.output_path or manifest.output.path(),
        compare=validate.enabled and validate.compare,
        checksums=validate.checksums or any(disk.checksum for disk in sources),
        inspect=_stage(raw, "inspect"),
        fix=_stage(raw, "fix"),
        validate=_stage(raw, "validate"),
        dry_run=manifest.options.dry_run,
        told=told_hardware(manifest.vm or {}, manifest.nics or []),
    )
    return problems, warnings, (guest,)


def _guest(name: str, pipeline: Pipeline, raw: Mapping[str, object]) -> Guest:
    convert, validate = pipeline.convert, pipeline.validation
    return Guest(
        name=name,
        disks=_disks(pipeline.load),
        output_format=convert.output_format,
        compress=convert.compress,
        output_path=convert.output_path,
        compare=validate.enabled and validate.compare,
        checksums=validate.checksums,
        inspect=_stage(raw, "inspect"),
        fix=_stage(raw, "fix"),
        validate=_stage(raw, "validate"),
    )


def _disks(load: Load) -> tuple[DiskSource, ...]:
    if load.disks is None:
        return (
            DiskSource(
                load.source_type,
                load.source_path,
                load.size,
                load.checksum or "",
                trusted=load.trust_source_type,
                ignore_checksums=load.ignore_checksums,
                files=_promises(load.files),
            ),
        )
    return tuple(
        DiskSource(
            disk.source_type,
            disk.source_path,
            disk.size,
            disk.checksum or "",
            trusted=disk.trust_source_type or load.trust_source_type,
            ignore_checksums=load.ignore_checksums,
            files=_promises(disk.files),
        )
        for disk in load.disks
    )


def _promises(files: Sequence[LoadFile] | None) -> tuple[FilePromise, ...]:
    return tuple(file.promise() for file in files or ())


def _stage(raw: Mapping[str, object], key: str) -> Mapping[str, object] | None:
    """The object of a stage that steps read for themselves, as it stands in the manifest."""
    return _member(raw, key) if isinstance(raw.get(key), dict) else None


def _member(value: object, key: str) -> Mapping[str, object]:
    """An object below an object, or an empty one."""
    member = value.get(key) if isinstance(value, dict) else None
    return member if isinstance(member, dict) else {}


def _repeated(rows: Sequence[object], path: str, key: str, code: str) -> tuple[Problem, ...]:
    """A problem for each row whose ``key`` an earlier row has already."""
    first: dict[str, int] = {}
    problems: list[Problem] = []
    for index, row in enumerate(rows):
        name = row.get(key) if isinstance(row, dict) else None
        if not isinstance(name, str) or not name:
            continue
        earlier = first.setdefault(name, index)
        if earlier != index:
            place = f"{path}[{index}].{key}"
            message = f"{place} {shown(name)} is that of {path}[{earlier}] too"
            problems.append(Problem(code, message, remedy=f"Give each its own {key}.", path=place))
    return tuple(problems)


def _unsupported(pipeline: Mapping[str, object], path: str) -> tuple[Problem, ...]:
    """Warnings for what the manifest may say and this build cannot do."""
    warnings: list[Problem] = []
    if _member(pipeline, "convert").get("enabled") is False:
        place = f"{path}.convert.enabled"
        message = f"{place}: CONVERT cannot be turned off; the guest is converted"
        warnings.append(Problem("manifest-unsupported", message, path=place))
    fix = _member(pipeline, "fix")
    if fix.get("engine") == "virt-v2v":
        for part in CONCERNS:
            if fix.get(part) is not None:
                message = f"{path}.fix.{part} is not read: virt-v2v decides by itself what it changes"
                remedy = "Remove it, or leave engine out."
                warnings.append(Problem("manifest-unsupported", message, remedy=remedy, path=f"{path}.fix.{part}"))
    return tuple(warnings)


def _ignored(value: Mapping[str, object]) -> tuple[Problem, ...]:
    """Warnings for known keys that are passed over, as the Go API passes over them."""
    warnings: list[Problem] = []
    batch, name = value.get("batch"), value.get("name")
    if name is not None and not isinstance(name, str):
        warnings.append(Problem("manifest-type", "name is not text and is passed over", path="name"))
    if batch is not None and not isinstance(batch, bool):
        message = "batch is neither true nor false and is passed over"
        warnings.append(Problem("manifest-type", message, remedy="Write true or false without quotes.", path="batch"))
    unread = "pipeline" if batch is True else "vms"
    if value.get(unread) is not None and "manifest_version" not in value:
        meaning = "a batch" if batch is True else "a manifest without batch: true"
        message = f"{unread} is not read in {meaning}"
        warnings.append(Problem("manifest-unknown-key", message, remedy="Remove it, or correct batch.", path=unread))
    return tuple(warnings)
