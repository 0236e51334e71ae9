"""Which mode a queue was made for, by what it holds. Reads names, and a bounded part of what the documents say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from hypersdkd.host.files import read_regular
from hypersdkd.model.document import parse_document
from hypersdkd.model.job import DISK_SUFFIXES, DOCUMENT_SUFFIXES, PARTIAL_SUFFIXES, SIDECAR_SUFFIXES
from hypersdkd.model.job_config import shown_kind
from hypersdkd.model.problem import ProblemError
from hypersdkd.model.replies import JOB_CONFIG, MANIFEST

Mode = Literal["manifest", "disk"]

#: Entries of a directory that are looked at; enough to judge, and quick in a queue of 100,000.
LOOK_AT: Final = 1000

#: Documents that are read, and bytes of all of them together: a second's work, were they the most costly YAML.
_DOCUMENTS: Final = 20
_BYTES: Final = 2 << 20

#: What only one mode writes beside the jobs that it completed.
_RECORDS: Final[dict[str, Mode]] = {".meta.json": "disk", ".report.json": "manifest"}


@dataclass(frozen=True, slots=True)
class Holding:
    """What a queue holds: in words (empty: nothing), and the mode that this shows, if it does."""

    what: str = ""
    mode: Mode | None = None


def holding_of(base_dir: Path) -> Holding:
    """What a queue holds, the best sign first.

    A disk or a job config is for disk mode alone. Manifests are for either mode: there, and in a queue without work,
    the records of its last day tell in which mode it was worked. Without any, manifests are taken for manifest mode.
    """
    documents: list[Path] = []
    for name in ("to_be_processed", "processing"):
        for entry in _entries(base_dir / name):
            suffix = PurePosixPath(entry.lower()).suffix
            if suffix in DISK_SUFFIXES:
                return Holding("disks", "disk")
            if suffix in DOCUMENT_SUFFIXES:
                documents.append(base_dir / name / entry)
    kinds = set(_kinds(documents))
    if JOB_CONFIG in kinds:
        return Holding("job configs", "disk")
    mode = _by_records(base_dir)
    if mode:
        return Holding(f"records of {mode} mode", mode)
    if MANIFEST in kinds:
        return Holding("manifests", "manifest")
    return Holding("documents that do not tell") if documents else Holding()


def _entries(directory: Path) -> Iterator[str]:
    """Names of possible jobs, of the first entries of a directory."""
    for name in _names(directory):
        if not name.startswith(".") and not name.lower().endswith((*SIDECAR_SUFFIXES, *PARTIAL_SUFFIXES)):
            yield name


def _names(directory: Path) -> Sequence[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in islice(entries, LOOK_AT)]
    except OSError:
        return []


def _kinds(documents: Sequence[Path]) -> Iterator[str]:
    """What the first documents show themselves to be; once all the bytes are spent, no more is read."""
    room = _BYTES
    for path in documents[:_DOCUMENTS]:
        try:
            text = read_regular(path, room + 1)
            room -= len(text)
            if room < 0:
                return
            yield shown_kind(parse_document(text).value)
        except (OSError, ProblemError):
            continue


def _by_records(base_dir: Path) -> Mode | None:
    """By what lies beside the completed jobs, then by the failed ones, of the last day that has any."""
    for kind in ("processed", "failed"):
        for date in sorted(_names(base_dir / kind), reverse=True)[:1]:
            for name in _names(base_dir / kind / date):
                for suffix, mode in _RECORDS.items():
                    if name.endswith(suffix):
                        return mode
                if PurePosixPath(name.lower()).suffix in DISK_SUFFIXES:
                    return "disk"
    return None
