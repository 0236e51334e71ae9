"""A manifest for a source that can be seen from here, from a look at it: disks, hardware, perhaps the system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypersdkd.engine.source_inspection import Inspection, SourcePlaces, inspect_source
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_source import open_source
from hypersdkd.host.promised_source import relative
from hypersdkd.host.source_type import type_by_content
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.manifest_draft import ManifestDraft, ManifestWish, name_of
from hypersdkd.model.problem import ProblemError, fail


async def draft_manifest(wish: ManifestWish, places: SourcePlaces) -> ManifestDraft:
    """The manifest, with INSPECT and FIX on where there is something to fix.

    Raises whatever LOAD refuses the source with, what :func:`hypersdkd.engine.source_inspection.inspect_source` does,
    and ``name-invalid`` for a path that no document can carry.
    """
    roots = [Path(root) for root in places.roots]
    source_type = await asyncio.to_thread(_type_of, wish.source_path, roots)
    try:
        wish.source_path.encode()
    except UnicodeEncodeError:
        message = "The source's name is not UTF-8, which JSON cannot carry"
        raise fail("name-invalid", message, remedy="Rename the file.", path="source_path") from None
    source = DiskSource(source_type, wish.source_path)
    found = await inspect_source(places, source, checksums=wish.checksums, inside=wish.inside)
    if found.problem is not None:
        raise ProblemError(found.problem.at("source_path"))
    return drafted(wish, source_type, found)


def drafted(wish: ManifestWish, source_type: str, found: Inspection) -> ManifestDraft:
    """The manifest of a source that LOAD takes. If checksums are wanted, those of all its files are promised, and their
    sizes."""
    checksum = found.source.get("checksum")
    return ManifestDraft(
        wish.source_path,
        source_type,
        name_of(wish.source_path),
        inspect=found.fixable,
        fix=found.fixable,
        output_format=wish.output_format,
        compress=wish.compress,
        size=found.size if wish.checksums else None,
        checksum=checksum if isinstance(checksum, str) else "",
        files=_others(found) if wish.checksums else (),
        metadata=found.facts(),
    )


def _others(found: Inspection) -> list[Mapping[str, object]]:
    """What is promised of all files but the named one."""
    named, *others = found.files
    return [{**file, "path": relative(str(file["path"]), str(named["path"]))} for file in others]


def _type_of(source_path: str, roots: Sequence[Path]) -> str:
    path, fd = open_source(source_path, roots)
    try:
        return type_by_content(ImageFile.of(fd, path.name), source_path)
    finally:
        os.close(fd)
