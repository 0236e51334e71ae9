"""What a manifest promises of a source's files: their sizes and their SHA-256; and what is told of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.disk import SourceFile
from hypersdkd.model.guest import DiskSource, FilePromise
from hypersdkd.model.problem import fail, one_line


def require_size(promise: DiskSource | FilePromise, image: ImageFile) -> None:
    """Raises ``source-changed`` unless the file is as long as the manifest says, if it does."""
    if promise.size is not None and promise.size != image.size:
        message = f"{image.name} has {image.size} bytes; the manifest says {promise.size}"
        raise fail("source-changed", message, remedy="Copy the file again, or correct the manifest's bytes.")


def require_checksum(
    promise: DiskSource | FilePromise, image: ImageFile, found: str, check: Callable[[str, bool, str], None]
) -> None:
    """Raises ``source-changed`` unless ``found`` is the checksum that the manifest has, if it has one.

    ``check`` is told the outcome. Digits are compared in lower case.
    """
    if not promise.checksum:
        return
    same = found == promise.checksum.lower()
    check("source-checksum", same, found)
    if not same:
        message = f"{image.name} has the checksum {found}; the manifest says {promise.checksum}"
        raise fail("source-changed", message, remedy="Copy the file again, or correct the manifest's checksum.")


def checksums_as_promised(
    source: DiskSource,
    opened: OpenSource,
    *,
    wanted: bool,
    on_progress: Callable[[int, int], None],
    check: Callable[[str, bool, str], None],
) -> Sequence[str]:
    """``sha256:HEX`` of each file that is open, the named one first, where that is promised or ``wanted``; else none.

    Raises what :func:`require_checksum` and reading do.
    """
    if not (wanted or source.checksum or checksums_promised(source)):
        return ()
    digests = opened.checksums(on_progress)
    require_checksum(source, opened.images[0], digests[0], check)
    return digests


def checksums_promised(source: DiskSource) -> bool:
    """Whether the manifest has checksums of further files."""
    return any(file.checksum for file in source.files)


def require_others(
    source: DiskSource,
    named: SourceFile,
    others: Sequence[tuple[SourceFile, ImageFile]],
    digests: Sequence[str],
    check: Callable[[str, bool, str], None],
) -> None:
    """``others`` are all files that the source needs besides the ``named`` one, ``digests`` their checksums.

    Raises ``source-changed`` unless they are those that the manifest names, if it names any, and are what it promises.
    """
    if not source.files:
        return
    found = {one_line(str(file.path)): (image, digest) for (file, image), digest in zip_longest(others, digests)}
    promised = {one_line(os.path.normpath(named.path.parent / file.path)): file for file in source.files}
    if missing := sorted(promised.keys() - found.keys()):
        _refuse(f"{one_line(named.path.name)} does not need {missing[0]}, which the manifest names")
    if more := sorted(found.keys() - promised.keys()):
        _refuse(f"{one_line(named.path.name)} needs {more[0]}, which the manifest does not name")
    for path, promise in promised.items():
        image, digest = found[path]
        require_size(promise, image)
        require_checksum(promise, image, digest or "", check)


def _refuse(message: str) -> None:
    raise fail("source-changed", message, remedy="Copy the source again, or correct the manifest's files.")


def told(files: Sequence[SourceFile], digests: Sequence[str]) -> list[dict[str, object]]:
    """What the report has of them: ``path``, ``bytes``, and ``checksum`` where there are ``digests``."""
    return [
        {"path": one_line(str(file.path)), "bytes": file.fingerprint[2]} | ({"checksum": digest} if digest else {})
        for file, digest in zip_longest(files, digests)
    ]


def relative(path: str, named: str) -> str:
    """How a manifest names a further file: from the directory of the ``named`` one on, where it lies below that."""
    directory = Path(named).parent
    return str(Path(path).relative_to(directory)) if Path(path).is_relative_to(directory) else path
