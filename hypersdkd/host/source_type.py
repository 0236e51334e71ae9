"""The source type that a manifest should name for a file: by content, or by name where content shows none."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_header import detect
from hypersdkd.host.ova import is_descriptor
from hypersdkd.host.tar_index import read_index
from hypersdkd.host.unpacking import COMPRESSIONS
from hypersdkd.model.guest import SOURCE_TYPES, type_by_suffix
from hypersdkd.model.problem import ProblemError

#: What a file is whose name tells nothing, as in Go's client.
_UNKNOWN: Final = "vmdk"


def type_by_name(source: str) -> str:
    """The type that the suffix claims."""
    return type_by_suffix(source) or _UNKNOWN


def type_by_content(image: ImageFile, source: str) -> str:
    """The type that the content shows. Where it shows none, the name counts, unless it claims what would show."""
    found = detect(image).format
    if found in COMPRESSIONS:  # what is in it, LOAD will see
        return "ova" if ".ova" in PurePosixPath(source.lower()).suffixes[-2:] else "ami"
    if found == "ova":
        return "ova" if _has_descriptor(image) else "ami"
    if found != "raw":
        return found if found in SOURCE_TYPES else type_by_name(source)
    by_name = type_by_name(source)
    return by_name if by_name in {"ami", "ovf"} else "raw"


def _has_descriptor(archive: ImageFile) -> bool:
    """Whether an archive is an appliance; one that cannot be read is taken for one, and LOAD says what is wrong."""
    try:
        return any(map(is_descriptor, read_index(archive).values()))
    except ProblemError:
        return True
