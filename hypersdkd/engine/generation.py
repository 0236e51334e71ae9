"""A manifest for a disk that the daemon can see, from a look at the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_source import open_source
from hypersdkd.host.source_type import type_by_content
from hypersdkd.model.manifest_draft import ManifestDraft, name_from
from hypersdkd.model.problem import fail


def draft_manifest(source_path: str, roots: Sequence[Path], output_format: str, *, compress: bool) -> ManifestDraft:
    """The manifest, with INSPECT and FIX off: nothing looks into the guest. Blocks.

    Raises what ``open_source`` does, and ``name-invalid`` for a path that no document can carry.
    """
    path, fd = open_source(source_path, roots)
    try:
        source_type = type_by_content(ImageFile.of(fd, path.name), source_path)
    finally:
        os.close(fd)
    try:
        source_path.encode()
    except UnicodeEncodeError:
        message = "The source's name is not UTF-8, which JSON cannot carry"
        raise fail("name-invalid", message, remedy="Rename the file.", path="source_path") from None
    return ManifestDraft(
        source_path,
        source_type,
        name_from(PurePosixPath(source_path).stem),
        inspect=False,
        fix=False,
        output_format=output_format,
        compress=compress,
    )
