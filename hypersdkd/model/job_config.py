"""Job configs of disk mode, hyper2kvm's flat words for a conversion: read, judged as a whole, turned into guests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import Field, ValidationError, field_validator
from pydantic.json_schema import models_json_schema

from hypersdkd.model.document import Document, parse_document
from hypersdkd.model.guest import DiskSource, Guest, type_by_suffix
from hypersdkd.model.job import DISK_SUFFIXES
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.manifest_fields import FIX_LEVELS, FSTAB_MODES, FstabMode, OutputFormat, Section, SourcePath, wrong
from hypersdkd.model.manifest_problems import problems_of, unknown_keys, with_warnings
from hypersdkd.model.manifest_workflow import MAX_GUESTS
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import JOB_CONFIG, MANIFEST, Validation
from hypersdkd.model.wording import shown

#: A key of these makes a document of disk mode a manifest; no job config has them.
MANIFEST_KEYS: Final = frozenset({"pipeline", "vms", "batch", "manifest_version"})

#: Bytes of a file name at most, limits.h.
_NAME_MAX: Final = 255

#: Problems of a list of jobs after which its further jobs are not looked at, as with a batch.
_MAX_PROBLEMS: Final = 20_000


class Conversion(Section):
    """One conversion. ``flatten`` is accepted and changes nothing: an output never depends on another file.

    What is absent is as in hyper2kvm: qcow2, not compressed, and all fixes.
    """

    input: SourcePath
    output_format: OutputFormat = "qcow2"
    compress: bool = False
    flatten: bool = True
    fstab_mode: FstabMode = FSTAB_MODES[0]
    regen_initramfs: bool = True
    fix_grub: bool = True
    fix_network: bool = True

    @field_validator("input")
    @classmethod
    def _with_a_type(cls, value: str) -> str:
        if not type_by_suffix(value):
            known = " ".join(DISK_SUFFIXES)
            remedy = f"Rename the file so that it ends in one of {known}, or write a manifest, which names the type."
            raise wrong(f"{shown(value)} has no suffix that tells its type", remedy)
        return value

    def guest(self) -> Guest:
        """What is to be run; nameless, since a job config has no name for it."""
        return Guest(
            name="",
            disks=(DiskSource(type_by_suffix(self.input), self.input),),
            output_format=self.output_format,
            compress=self.compress,
            fix=fixes(self.fstab_mode, initramfs=self.regen_initramfs, grub=self.fix_grub, network=self.fix_network),
            fix_if_possible=True,
        )


class SingleJobConfig(Conversion):
    """A job config of one conversion. ``jobs`` is a known key, which makes it one of many."""

    jobs: None = None


class BatchJobConfig(Section):
    """A job config of many conversions, each with all its own keys: none is inherited."""

    jobs: Annotated[list[Conversion], Field(min_length=1, max_length=MAX_GUESTS)]


def fixes(
    fstab_mode: str = FSTAB_MODES[0], *, initramfs: bool = True, grub: bool = True, network: bool = True
) -> Mapping[str, object]:
    """A manifest's FIX that asks for the same; without arguments what hyper2kvm does to every dropped disk."""
    return {
        "fstab": {"enabled": fstab_mode != "noop", "mode": fstab_mode},
        "grub": {"enabled": grub},
        "initramfs": {"enabled": initramfs, "regenerate": initramfs},
        "network": {"enabled": network, "fix_level": FIX_LEVELS[0] if network else "none"},
    }


def shown_kind(document: Mapping[str, object]) -> str:
    """``manifest`` or ``job-config`` where the keys show it, else nothing."""
    if document.keys() & MANIFEST_KEYS:
        return MANIFEST
    return JOB_CONFIG if document.keys() & {"input", "jobs"} else ""


def read_job_config(text: bytes, syntax: str = "") -> Validation | None:
    """Judge a document of disk mode: every problem and warning, and the guests if there is no problem.

    ``None`` for a manifest, which has rules of its own; whatever is neither is taken for a job config.
    ``syntax`` is ``json``, ``yaml`` or empty (find out). Never raises for any text. Inputs stay as given.
    """
    try:
        document = parse_document(text, syntax)
    except ProblemError as error:
        return Validation(problems=(error.problem,), parsed=False, taken_for=JOB_CONFIG)
    value = document.value
    if shown_kind(value) == MANIFEST:
        return None
    batch = value.get("jobs") is not None
    return _batch(document) if batch else _single(document)


def read_document(text: bytes, syntax: str = "") -> Validation:
    """Judge a document for a queue of unknown mode: a job config where its keys show one, else a manifest."""
    judged = read_job_config(text, syntax)
    evident = judged is not None and shown_kind(judged.document) == JOB_CONFIG
    return judged if judged is not None and evident else read_manifest(text, syntax)


def numbered(guests: Sequence[Guest], stem: str) -> tuple[Guest, ...]:
    """The guests of a list of jobs with the names that hyper2kvm gives them: STEM_job1, STEM_job2 and so on."""
    return tuple(replace(guest, name=f"{stem}_job{number}") for number, guest in enumerate(guests, start=1))


def job_config_inputs(text: bytes, syntax: str = "") -> tuple[str, ...]:
    """Names of files beside it that a document of disk mode wants to read, each once, in its order.

    Only plain names (``web.vmdk``, ``./web.vmdk``); of a manifest its relative source paths. Empty for what is
    no document, or whose sources lie elsewhere. Never raises.
    """
    try:
        value = parse_document(text, syntax).value
    except ProblemError:
        return ()
    if shown_kind(value) == MANIFEST:
        disks = (disk for guest in read_manifest(text, syntax).guests for disk in guest.disks)
        return _siblings([disk.source_path for disk in disks])
    jobs = value.get("jobs")
    rows = jobs[:MAX_GUESTS] if isinstance(jobs, list) else [value]
    return _siblings([row.get("input") for row in rows if isinstance(row, dict)])


def sibling(path: str) -> str:
    """The name of the file beside a document that a relative path means; empty if it means another place."""
    parts = PurePosixPath(path).parts
    if len(parts) != 1 or parts[0] in {"/", "//", ".."} or "\0" in path or not path.endswith(parts[0]):
        return ""
    return parts[0] if len(parts[0].encode("utf-8", "surrogatepass")) <= _NAME_MAX else ""


def json_schema(reference: str = "#/$defs/{model}") -> dict[str, object]:
    """JSON Schema (2020-12) of job configs; ``reference`` is how its definitions, in ``$defs``, are referred to."""
    models = (SingleJobConfig, BatchJobConfig)
    references, definitions = models_json_schema([(model, "validation") for model in models], ref_template=reference)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "JobConfig",
        "anyOf": [references[model, "validation"] for model in models],
        **definitions,
    }


def _siblings(paths: Sequence[object]) -> tuple[str, ...]:
    names = (sibling(path) for path in paths if isinstance(path, str))
    return tuple(dict.fromkeys(name for name in names if name))


def _single(document: Document) -> Validation:
    value = document.value
    warnings = (*document.warnings, *unknown_keys(SingleJobConfig, value))
    try:
        guest = SingleJobConfig.model_validate(value).guest()
    except ValidationError as error:
        return _judged(document, problems_of(error), warnings, ())
    return _judged(document, (), warnings, (guest,))


def _batch(document: Document) -> Validation:
    value, jobs = document.value, document.value["jobs"]
    rows: list[object] = jobs if isinstance(jobs, list) else []
    if len(rows) > MAX_GUESTS:
        message = f"The list holds {len(rows)} jobs; {MAX_GUESTS} are allowed"
        return _judged(document, (Problem("manifest-too-many-guests", message, path="jobs"),), document.warnings, ())
    beside = [key for key in value if key in Conversion.model_fields]
    known = {key: member for key, member in value.items() if key not in beside}
    warnings = (*document.warnings, *map(_not_inherited, beside), *unknown_keys(BatchJobConfig, known))
    problems: list[Problem] = []
    guests: list[Guest] = []
    if not rows:
        problems.append(_no_jobs(jobs))
    for index, row in enumerate(rows):
        path = f"jobs[{index}]"
        if len(problems) > _MAX_PROBLEMS:
            problems.append(Problem("manifest-value", f"From {path} on the jobs were not looked at", path=path))
            break
        try:
            guests.append(Conversion.model_validate(row).guest())
        except ValidationError as error:
            problems.extend(problems_of(error, path))
    return _judged(document, tuple(problems), warnings, guests)


def _no_jobs(jobs: object) -> Problem:
    if isinstance(jobs, list):
        remedy = "Write at least one object with an input into jobs."
        return Problem("manifest-required", "jobs is empty: nothing would be converted", remedy=remedy, path="jobs")
    return Problem(
        "manifest-type", "jobs must be a list", remedy="Write a list of objects, each with input.", path="jobs"
    )


def _not_inherited(key: str) -> Problem:
    message = f"{key} is not read beside jobs"
    return Problem("manifest-unknown-key", message, remedy=f"Write {key} into each of the jobs.", path=key)


def _judged(
    document: Document, problems: tuple[Problem, ...], warnings: tuple[Problem, ...], guests: Sequence[Guest]
) -> Validation:
    return Validation(
        problems=problems,
        warnings=warnings,
        batch=document.value.get("jobs") is not None,
        guests=() if problems else with_warnings(guests, warnings, "jobs"),
        document=document.value,
        taken_for=JOB_CONFIG,
    )
