"""The text inside a VMDK: parse it as strictly as the strictest reader does, and let no other file be named."""

from __future__ import annotations

import re
from typing import Final

from hypersdkd.model.problem import Problem, fail

#: Variants that are one self-contained file, in lower case, and how they are written.
VARIANTS: Final = {b"monolithicsparse": "monolithicSparse", b"streamoptimized": "streamOptimized"}

#: Keys that are known to name nothing that a reader opens; VMware's Virtual Disk Format 5.0 and later practice.
_HARMLESS_KEYS: Final = frozenset(
    {b"version", b"encoding", b"cid", b"isnativesnapshot", b"changetrackpath", b"parentcid", b"createtype"}
)
_KEY_VALUE: Final = re.compile(rb"([A-Za-z0-9_.]+)[ \t]*=[ \t]*(.*)")
_EXTENT: Final = re.compile(rb'(?i:RW|RDONLY|NOACCESS)[ \t]+(\d{1,19})[ \t]+(?i:SPARSE)[ \t]+"([^"/\\]*)"(?:[ \t]+0)?')
_EXTENT_START: Final = re.compile(rb"(?i:RW|RDONLY|NOACCESS)[ \t]")
_NO_PARENT: Final = b"ffffffff"
_PARENT_HINT: Final = b"parentfilenamehint"


def looks_like_descriptor(start: bytes) -> bool:
    """Whether text that a reader would take for a descriptor begins here, padded by NULs or not.

    qemu passes over comments and blank lines and then wants ``version=``; here any ``version`` will do.
    """
    text = start.split(b"\0", 1)[0]
    if text[:21].lower() == b"# disk descriptorfile":
        return True
    for line in text.split(b"\n"):
        words = line.strip()
        if words and not words.startswith(b"#"):
            return words[:7].lower() == b"version"
    return False


def read_descriptor(name: str, area: bytes, searched: bytes, capacity: int) -> tuple[str, tuple[Problem, ...]]:
    """The variant that the embedded descriptor names, and warnings.

    ``area`` is the descriptor with its padding, ``searched`` all bytes in which a reader may look for a
    parent, ``capacity`` the header's number of sectors. Raises ``image-backing`` when any other file is
    needed, ``image-unsupported`` and ``image-invalid`` for what is not understood.
    """
    if _PARENT_HINT in searched.lower():
        raise fail("image-backing", f"{name} names a parent image")
    values: dict[bytes, bytes] = {}
    extents: list[tuple[int, bytes]] = []
    for line in (raw.strip(b" \t\r") for raw in area.split(b"\0", 1)[0].split(b"\n")):
        if line and not line.startswith(b"#"):
            _read_line(name, line, values, extents)
    if values.get(b"parentcid", _NO_PARENT) != _NO_PARENT:
        raise fail("image-backing", f"{name} is a snapshot: it names a parent image")
    variant = VARIANTS.get(values.get(b"createtype", b""))
    if variant is None:
        kind = values.get(b"createtype", b"none").decode("ascii", "backslashreplace")[:40]
        raise fail("image-unsupported", f"{name} is a VMDK of type {kind}; {', '.join(VARIANTS.values())} are read")
    if len(extents) != 1:
        raise fail("image-backing", f"the descriptor of {name} names {len(extents)} extents instead of itself alone")
    if extents[0][0] != capacity:
        message = f"descriptor and header of {name} differ in size; the header's {capacity} sectors count"
        return variant, (Problem("image-unclean", message),)
    return variant, ()


def _read_line(name: str, line: bytes, values: dict[bytes, bytes], extents: list[tuple[int, bytes]]) -> None:
    """Sort one line into keys or extents; anything that is not understood is refused."""
    shown = line[:80].decode("ascii", "backslashreplace")
    if _EXTENT_START.match(line):
        extent = _EXTENT.fullmatch(line)
        if extent is None:
            raise fail("image-backing", f"the descriptor of {name} names another file: {shown}")
        extents.append((int(extent[1]), extent[2]))
        return
    pair = _KEY_VALUE.fullmatch(line)
    if pair is None:
        raise fail("image-invalid", f"the descriptor of {name} has a line that is not understood: {shown}")
    key = pair[1].lower()
    if key.startswith(b"ddb."):
        return
    if key not in _HARMLESS_KEYS:
        raise fail("image-unsupported", f"the descriptor of {name} has a key that is not known: {shown}")
    if key in values:
        raise fail("image-invalid", f"the descriptor of {name} says {key.decode()} twice")
    values[key] = pair[2].strip(b'"').lower()
