"""``hyperctl manifest generate SRC OUTDIR``: a manifest for a disk, complete and ready to submit."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from hypersdkd.cli import exits
from hypersdkd.cli.manifest_output import encoded, write_manifest
from hypersdkd.cli.summary import show_summary
from hypersdkd.cli.terminal import Terminal
from hypersdkd.host.image_file import opened
from hypersdkd.host.source_type import type_by_content, type_by_name
from hypersdkd.model.manifest_draft import ManifestDraft, name_from
from hypersdkd.model.problem import ProblemError, fail


def generate(arguments: Namespace, terminal: Terminal) -> int:
    """Write ``OUTDIR/STEM-manifest.json``. A different file of that name is replaced only with ``--force``."""
    if len(arguments.paths) != 2:
        raise fail(
            "command-incomplete",
            "VM path and output directory required",
            remedy="Usage: hyperctl manifest generate <vm-path> <output-dir>",
        )
    source, directory = arguments.paths
    exists = is_here(source)
    if exists:
        path, name = str(Path(source).absolute()), name_from(Path(source).stem)
        draft = ManifestDraft(path, type_here(source), name, inspect=False, fix=False)
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
    except OSError:
        return False


def type_here(source: str) -> str:
    """The type of a source that is here: by its content, or by its name where that cannot be read."""
    try:
        # The daemon resolves links as well, and then judges where the source lies.
        with opened(Path(source).resolve()) as image:
            return type_by_content(image, source)
    except (OSError, ProblemError):
        return type_by_name(source)
