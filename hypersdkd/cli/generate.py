"""``hyperctl manifest generate SRC OUTDIR``: a manifest for a disk, complete and ready to submit."""

from __future__ import annotations

import asyncio
import os
import tempfile
from argparse import Namespace
from pathlib import Path

from hypersdkd.cli import exits
from hypersdkd.cli.manifest_output import encoded, write_manifest
from hypersdkd.cli.summary import facts_in_words, show_summary
from hypersdkd.cli.terminal import Terminal
from hypersdkd.engine.generation import drafted
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.source_inspection import Inspection, SourcePlaces, inspect_source
from hypersdkd.engine.workshop import WorkerPlugins
from hypersdkd.host.image_file import opened
from hypersdkd.host.newer_state import warning_of
from hypersdkd.host.source_type import type_by_content, type_by_name
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.manifest_draft import ManifestDraft, ManifestWish, name_of
from hypersdkd.model.problem import ProblemError, fail


def generate(arguments: Namespace, terminal: Terminal) -> int:
    """Write ``OUTDIR/STEM-manifest.json`` or ``.yaml``. Another file of that name is replaced only with ``--force``."""
    if len(arguments.paths) != 2:
        raise fail(
            "command-incomplete",
            "VM path and output directory required",
            remedy="Usage: hyperctl manifest generate <vm-path> <output-dir>",
        )
    source, directory = arguments.paths
    _refuse_other_kinds(source)
    if is_here(source):
        draft = _drafted(source, arguments, terminal)
    else:
        draft = ManifestDraft(source, type_by_name(source))
        terminal.note("WARNING", f"{source} does not exist here; its type is taken from its name")
        if not source.startswith("/"):
            terminal.note("WARNING", "The daemon takes a relative path from its to_be_processed/, not from here")
    document = draft.document()
    target = Path(directory) / f"{Path(source).stem}-manifest.{arguments.format}"
    content = encoded(document, yaml_text=arguments.format == "yaml")
    write_manifest(target, content, replace=arguments.force)
    if arguments.json:
        terminal.json({"manifest_path": str(target), "manifest": document})
        return exits.FINE
    terminal.note("SUCCESS", "Manifest generated!")
    terminal.info(f"Manifest saved to: {target}")
    show_summary(terminal, document)
    for line in facts_in_words(draft.metadata):
        terminal.info(line)
    return exits.FINE


def _drafted(source: str, arguments: Namespace, terminal: Terminal) -> ManifestDraft:
    """From a look at the source, as LOAD takes it. One that it refuses is written down all the same, with a warning,
    since the source may be mended."""
    path = Path(source).absolute()
    wish = ManifestWish(str(path), checksums=arguments.checksums, inside=arguments.inspect)
    source_type = type_here(source)
    bare = ManifestDraft(str(path), source_type, name_of(str(path)), inspect=False, fix=False)
    try:
        str(path).encode()
        found = asyncio.run(_looked_at(DiskSource(source_type, str(path.resolve())), wish))
    except UnicodeEncodeError:
        return bare  # which says so when it is written
    except ProblemError as error:
        terminal.note("WARNING", f"The source cannot be looked at: {error.problem.message}; {error.problem.remedy}")
        return bare
    except OSError as error:
        terminal.note("WARNING", f"The source cannot be looked at: {os.strerror(error.errno or 0).lower()}")
        return bare
    if found.problem is not None:
        message, remedy = found.problem.message, found.problem.remedy
        terminal.note("WARNING", f"The daemon will refuse this source: {message}; remedy: {remedy}")
        return bare
    newer = warning_of(path.resolve())  # LOAD, which may list no directory, sees fewer
    if newer is not None:
        terminal.note("WARNING", f"{newer.message}; remedy: {newer.remedy}")
    for each in found.warnings:
        if newer is None or each.get("code") != newer.code:
            terminal.note("WARNING", str(each.get("message", "")))
    return drafted(wish, source_type, found)


async def _looked_at(source: DiskSource, wish: ManifestWish) -> Inspection:
    """By the plugins that come along: the daemon's own, and its settings, are not for whoever runs this."""
    plugins = await asyncio.to_thread(Plugins.load)
    # Where sources may lie, the daemon knows.
    with tempfile.TemporaryDirectory(prefix="hyperctl-") as scratch:
        places = SourcePlaces(Path(scratch), ("/",), WorkerPlugins.of(plugins, (), {}))
        return await inspect_source(places, source, checksums=wish.checksums, inside=wish.inside)


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


def type_here(source: str) -> str:
    """The type of a source that is here: by its content, or by its name where that cannot be read."""
    try:
        # The daemon resolves links as well, and then judges where the source lies.
        with opened(Path(source).resolve()) as image:
            return type_by_content(image, source)
    except (OSError, ProblemError):
        return type_by_name(source)
