"""``hyperctl manifest generate SRC OUTDIR``: a manifest for a disk, complete and ready to submit."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import Final

from hypersdkd.cli import exits
from hypersdkd.cli.manifest_output import encoded, write_manifest
from hypersdkd.cli.summary import show_summary
from hypersdkd.cli.terminal import Terminal
from hypersdkd.host.image_file import opened
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.source_disk import read_disk
from hypersdkd.host.source_type import type_by_content, type_by_name
from hypersdkd.model.manifest_draft import ManifestDraft, name_from
from hypersdkd.model.problem import CODES, ProblemError, fail

#: Types that can be judged here.
_JUDGED: Final = frozenset({"vmdk", "vhd", "vhdx", "raw", "qcow2", "vdi"})

#: Seconds for reading an image's tables, as LOAD takes them.
_JUDGE_SECONDS: Final = 300.0


def generate(arguments: Namespace, terminal: Terminal) -> int:
    """Write ``OUTDIR/STEM-manifest.json``. A different file of that name is replaced only with ``--force``."""
    if len(arguments.paths) != 2:
        raise fail(
            "command-incomplete",
            "VM path and output directory required",
            remedy="Usage: hyperctl manifest generate <vm-path> <output-dir>",
        )
    source, directory = arguments.paths
    _refuse_other_kinds(source)
    exists = is_here(source)
    if exists:
        path, name, source_type = str(Path(source).absolute()), name_from(Path(source).stem), type_here(source)
        _warn_if_refused(source, source_type, terminal)
        draft = ManifestDraft(path, source_type, name, inspect=False, fix=False)
    else:
        draft = ManifestDraft(source, type_by_name(source))
        terminal.note("WARNING", f"{source} does not exist here; its type is taken from its name")
    document = draft.document()
    target = Path(directory) / f"{Path(source).stem}-manifest.json"
    write_manifest(target, encoded(document), replace=arguments.force)
    if arguments.json:
        terminal.json({"manifest_path": str(target), "manifest": document})
        return exits.FINE
    terminal.note("SUCCESS", "Manifest generated!")
    terminal.info(f"Manifest saved to: {target}")
    show_summary(terminal, document)
    if exists:
        terminal.info("INSPECT and FIX are off: this build does not look into the guest")
    return exits.FINE


def is_here(source: str) -> bool:
    """Whether the source is a file that can be looked at from here; the daemon may see others."""
    try:
        return Path(source).is_file()
    except (OSError, ValueError):
        return False


def _refuse_other_kinds(source: str) -> None:
    """Raise ``source-not-regular`` for a directory, a device and the like."""
    path = Path(source)
    try:
        if path.is_file() or not path.exists():
            return
    except (OSError, ValueError):
        return
    raise fail("source-not-regular", f"{source} is {'a directory' if path.is_dir() else 'not a regular file'}")


def _warn_if_refused(source: str, source_type: str, terminal: Terminal) -> None:
    """Say now what LOAD will say later; the manifest is written all the same, since the source may be mended."""
    refused = "The daemon will refuse this source"
    if source_type not in _JUDGED:
        unread = f"no plugin that comes along reads sources of type {source_type}"
        terminal.note("WARNING", f"{refused}: {unread}; remedy: {CODES['source-type-unknown'].remedy}")
        return
    try:
        path = Path(source).resolve()
        # Where sources may lie, the daemon knows.
        with OpenSource([Path("/")], seconds=_JUDGE_SECONDS) as files:
            files.open(str(path))
            read_disk(files, source_type)
    except ProblemError as error:
        terminal.note("WARNING", f"{refused}: {error.problem.message}; remedy: {error.problem.remedy}")
    except OSError as error:
        terminal.note("WARNING", f"The source cannot be looked at: {os.strerror(error.errno or 0).lower()}")


def type_here(source: str) -> str:
    """The type of a source that is here: by its content, or by its name where that cannot be read."""
    try:
        # The daemon resolves links as well, and then judges where the source lies.
        with opened(Path(source).resolve()) as image:
            return type_by_content(image, source)
    except (OSError, ProblemError):
        return type_by_name(source)
