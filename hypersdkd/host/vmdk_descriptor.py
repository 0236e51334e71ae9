"""The text that describes a VMDK: which files it consists of, and which it is a snapshot of.

VMware's Virtual Disk Format 5.0 and later practice. It is parsed as strictly as the strictest reader does: a line that
is not understood is refused, for it could name a file. What is parsed here is only ever told to qemu in a text of our
own (:mod:`hypersdkd.host.vmdk_disk`), but for the one inside a self-contained file, which :func:`require_alone` judges.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.image_file import MAX_VIRTUAL_SIZE, SECTOR
from hypersdkd.model.problem import Problem, fail

#: Bytes of a descriptor that are read: qemu's own limit. A disk of 8 TiB in files of 2 GB needs 0.3 MiB.
DESCRIPTOR_LIMIT: Final = 1 << 20

#: The content id of a disk's parent where it has none.
NO_PARENT: Final = 0xFFFF_FFFF

#: Variants in lower case, and how they are written. The first two are one self-contained file.
ALONE: Final = {"monolithicsparse": "monolithicSparse", "streamoptimized": "streamOptimized"}
VARIANTS: Final[Mapping[str, str]] = ALONE | {
    "monolithicflat": "monolithicFlat",
    "twogbmaxextentsparse": "twoGbMaxExtentSparse",
    "twogbmaxextentflat": "twoGbMaxExtentFlat",
    "2gbmaxextentsparse": "twoGbMaxExtentSparse",
    "2gbmaxextentflat": "twoGbMaxExtentFlat",
    "vmfs": "vmfs",
    "vmfsthin": "vmfsThin",
    "vmfspreallocated": "vmfsPreallocated",
    "vmfseagerzeroedthick": "vmfsEagerZeroedThick",
    "vmfssparse": "vmfsSparse",
    "sesparse": "seSparse",
    "custom": "custom",
}

#: Kinds of extents that are read; ``ZERO`` has no file.
EXTENT_KINDS: Final = frozenset({"FLAT", "VMFS", "ZERO", "SPARSE", "VMFSSPARSE", "SESPARSE"})

#: Encodings of file names that VMware's products write, by their names in lower case.
_ENCODINGS: Final = frozenset(
    {"utf-8", "us-ascii", "gbk", "gb18030", "gb2312", "big5", "shift_jis", "euc-jp", "euc-kr"}
    | {f"windows-{page}" for page in (874, 932, 936, 949, 950, *range(1250, 1259))}
    | {f"iso-8859-{part}" for part in range(1, 16) if part != 12}
)
_PYTHON_NAMES: Final = {f"windows-{page}": f"cp{page}" for page in (874, 932, 936, 949, 950)}

#: Keys that are known to name nothing that a reader opens for the disk's content.
_KEYS: Final = frozenset(
    {
        "version",
        "encoding",
        "cid",
        "parentcid",
        "createtype",
        "parentfilenamehint",
        "isnativesnapshot",
        "changetrackpath",
    }
)
_KEY_VALUE: Final = re.compile(rb"([A-Za-z0-9_.:-]+)[ \t]*=[ \t]*(.*)")
_EXTENT_START: Final = re.compile(rb"(?i:RW|RDONLY|NOACCESS)[ \t]")
_EXTENT: Final = re.compile(
    rb'(?i:(RW|RDONLY|NOACCESS))[ \t]+(\d{1,18})[ \t]+([A-Za-z0-9]{1,20})(?:[ \t]+"([^"]*)"(?:[ \t]+(\d{1,18}))?)?'
)
_CONTENT_ID: Final = re.compile(rb"[0-9a-fA-F]{1,8}")
_UNTEXTUAL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_SECTORS: Final = MAX_VIRTUAL_SIZE // SECTOR


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of a disk: ``sectors`` long, of a kind in capitals, in a file from sector ``offset`` of it on."""

    sectors: int
    kind: str
    name: str = ""
    offset: int = 0

    @property
    def flat_end(self) -> int | None:
        """Bytes that its file must have at least, where it holds the content as it is; ``None`` for other kinds."""
        return (self.offset + self.sectors) * SECTOR if self.kind in {"FLAT", "VMFS"} else None


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A descriptor that was understood. ``parent_hint`` is the parent's name or path as it was when it was made."""

    variant: str
    content_id: int
    parent_id: int
    parent_hint: str
    extents: tuple[Extent, ...]

    @property
    def sectors(self) -> int:
        """The disk's length."""
        return sum(extent.sectors for extent in self.extents)

    @property
    def is_snapshot(self) -> bool:
        """Whether it holds only what differs from a parent."""
        return self.parent_id != NO_PARENT or bool(self.parent_hint)

    @property
    def parent_name(self) -> str:
        """The file name of the parent, to be looked for beside it: a path is one of the host that it was made on."""
        return re.split(r"[/\\]", self.parent_hint)[-1]

    @property
    def siblings(self) -> tuple[str, ...]:
        """Names of the files that are needed besides, each once: extents in their order, then the parent.

        That a name is one of a file beside it is not judged here.
        """
        names = [extent.name for extent in self.extents if extent.name]
        return tuple(dict.fromkeys([*names, self.parent_name] if self.is_snapshot and self.parent_name else names))


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


def parse_descriptor(name: str, text: bytes) -> Descriptor:
    """Understand the descriptor of the file ``name``; NULs may pad it.

    Raises ``image-invalid``, ``image-unsupported``, ``image-encrypted`` and ``image-limits``.
    """
    values: dict[str, bytes] = {}
    found: list[tuple[re.Match[bytes], str]] = []
    for line in _lines(text):
        shown = line[:80].decode("ascii", "backslashreplace")
        if _UNTEXTUAL.search(line):
            raise fail("image-invalid", f"the descriptor of {name} is no plain text: {shown}")
        if _EXTENT_START.match(line):
            extent = _EXTENT.fullmatch(line)
            if extent is None:
                raise fail("image-invalid", f"the descriptor of {name} has an extent that is not understood: {shown}")
            found.append((extent, shown))
        else:
            _read_pair(name, line, shown, values)
    encoding = _encoding(name, values)
    extents = tuple(_extent(name, extent, shown, encoding) for extent, shown in found)
    if sum(extent.sectors for extent in extents) > _MAX_SECTORS:
        raise fail("image-limits", f"{name} claims a disk of over {MAX_VIRTUAL_SIZE} bytes")
    return Descriptor(
        variant=_variant(name, values),
        content_id=_content_id(name, values, "cid", NO_PARENT - 1),
        parent_id=_content_id(name, values, "parentcid", NO_PARENT),
        parent_hint=_decoded(name, values.get("parentfilenamehint", b""), encoding),
        extents=extents,
    )


def _lines(text: bytes) -> Iterator[bytes]:
    for raw in text.split(b"\0", 1)[0].split(b"\n"):
        line = raw.strip(b" \t\r")
        if line and not line.startswith(b"#"):
            yield line


def _read_pair(name: str, line: bytes, shown: str, values: dict[str, bytes]) -> None:
    """A key and its value; anything that is not understood is refused."""
    pair = _KEY_VALUE.fullmatch(line)
    if pair is None:
        raise fail("image-invalid", f"the descriptor of {name} has a line that is not understood: {shown}")
    key, value = pair[1].decode("ascii").lower(), pair[2]
    if key.startswith("encryption") or (key == "ddb.iofilters" and b"crypt" in value.lower()):
        raise fail("image-encrypted", f"{name} is encrypted")
    if key.startswith("ddb."):
        return
    if key not in _KEYS:
        raise fail("image-unsupported", f"the descriptor of {name} has a key that is not known: {shown}")
    if key in values:
        raise fail("image-invalid", f"the descriptor of {name} says {key} twice")
    if len(value) >= 2 and value.startswith(b'"') and value.endswith(b'"'):
        value = value[1:-1]
    if b'"' in value:
        raise fail("image-invalid", f"the descriptor of {name} has a line that is not understood: {shown}")
    if key == "isnativesnapshot" and value.lower() != b"no":
        raise fail("image-unsupported", f"{name} is a snapshot that only its storage array can read")
    values[key] = value


def _extent(name: str, found: re.Match[bytes], shown: str, encoding: str) -> Extent:
    access, sectors, kind = found[1].upper(), int(found[2]), found[3].decode("ascii").upper()
    if access == b"NOACCESS" or kind not in EXTENT_KINDS:
        raise fail(
            "image-unsupported",
            f"{name} has a part that is not in a file of its own: {shown}",
            remedy="Export the disk from the host that can read all of it: raw devices and passed-through disks have "
            "no content here.",
        )
    is_named, offset = found[4] is not None, found[5]
    if sectors == 0 or is_named == (kind == "ZERO") or (kind == "FLAT" and offset is None) or found[4] == b"":
        raise fail("image-invalid", f"{name} has an extent that makes no sense: {shown}")
    if kind != "FLAT" and int(offset or 0):
        raise fail("image-invalid", f"{name} has an extent with an offset where none can be: {shown}")
    return Extent(sectors, kind, _decoded(name, found[4] or b"", encoding), int(found[5] or 0))


def _encoding(name: str, values: Mapping[str, bytes]) -> str:
    encoding = values.get("encoding", b"utf-8").decode("ascii", "replace").lower()
    if encoding not in _ENCODINGS:
        raise fail(
            "image-unsupported", f"the descriptor of {name} is in an encoding that is not known: {encoding[:40]}"
        )
    return _PYTHON_NAMES.get(encoding, encoding)


def _decoded(name: str, text: bytes, encoding: str) -> str:
    """A file's name. One that is not of the encoding is taken as it stands, as every file name here."""
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        return os.fsdecode(text)


def _variant(name: str, values: Mapping[str, bytes]) -> str:
    kind = values.get("createtype", b"none").decode("ascii", "backslashreplace")[:40]
    variant = VARIANTS.get(kind.lower())
    if variant is None:
        known = ", ".join(dict.fromkeys(VARIANTS.values()))
        raise fail("image-unsupported", f"{name} is a VMDK of type {kind}; {known} are read")
    return variant


def _content_id(name: str, values: Mapping[str, bytes], key: str, default: int) -> int:
    value = values.get(key)
    if value is None:
        return default
    if not _CONTENT_ID.fullmatch(value):
        raise fail("image-invalid", f"the descriptor of {name} has no number as its {key}")
    return int(value, 16)


def require_same_size(name: str, described: int, capacity: int, grain: int) -> tuple[Problem, ...]:
    """The sectors that a descriptor gives to a sparse extent and those of the header in it, which count for qemu.

    VirtualBox makes the header's up to whole grains, of ``grain`` sectors, which is a warning. Raises ``image-invalid``
    for any other difference: qemu would cut the disk, or make it longer, without a word.
    """
    if described == capacity:
        return ()
    message = f"the descriptor of {name} has {described} sectors, its header {capacity}"
    if capacity != -(-described // grain) * grain:
        raise fail("image-invalid", message)
    return (Problem("image-unclean", f"{message}, which is made up to whole grains"),)


def require_alone(
    name: str, area: bytes, searched: bytes, capacity: int, grain: int
) -> tuple[str, tuple[Problem, ...]]:
    """The variant of a self-contained file by the descriptor in it, which qemu reads too, and warnings.

    ``area`` is the descriptor with its padding, ``searched`` all bytes in which a reader may look for a
    parent, ``capacity`` and ``grain`` the header's numbers of sectors. Raises ``image-backing`` when any other file
    is needed, ``image-unsupported`` and ``image-invalid`` for what is not understood.
    """
    descriptor = parse_descriptor(name, area)
    if descriptor.is_snapshot or b"parentfilenamehint" in searched.lower():
        raise fail("image-backing", f"{name} is a snapshot: it names a parent image")
    if descriptor.variant not in ALONE.values():
        raise fail(
            "image-unsupported", f"{name} says that it is {descriptor.variant}, which is never a file of its own"
        )
    if len(descriptor.extents) != 1:
        count = len(descriptor.extents)
        raise fail("image-backing", f"the descriptor of {name} names {count} extents instead of itself alone")
    (extent,) = descriptor.extents
    if extent.kind != "SPARSE" or re.search(r"[/\\]", extent.name):
        raise fail("image-backing", f"the descriptor of {name} names another file: {extent.name[:80]}")
    return descriptor.variant, require_same_size(name, extent.sectors, capacity, grain)
