"""What a manifest promises of a source's file: its size and its SHA-256."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.problem import fail


def require_size(source: DiskSource, image: ImageFile) -> None:
    """Raises ``source-changed`` unless the file is as long as the manifest says, if it does."""
    if source.size is not None and source.size != image.size:
        message = f"{image.name} has {image.size} bytes; the manifest says {source.size}"
        raise fail("source-changed", message, remedy="Copy the file again, or correct the manifest's bytes.")


def require_checksum(source: DiskSource, image: ImageFile, found: str, check: Callable[[str, bool, str], None]) -> None:
    """Raises ``source-changed`` unless ``found`` is the checksum that the manifest has, if it has one.

    ``check`` is told the outcome. Digits are compared in lower case.
    """
    if not source.checksum:
        return
    same = found == source.checksum.lower()
    check("source-checksum", same, found)
    if not same:
        message = f"{image.name} has the checksum {found}; the manifest says {source.checksum}"
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
    if not source.checksum and not wanted:
        return ()
    digests = opened.checksums(on_progress)
    require_checksum(source, opened.images[0], digests[0], check)
    return digests
