"""A manifest of one disk as the builders write it: all stages named, keys in the order of HyperSDK's Go client.

Without pydantic, so that a command line that only writes one starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from hypersdkd.model.guest import OUTPUT_FORMATS, SOURCE_TYPES, type_by_suffix

#: Bytes of a name at most: submission puts time, number and suffix after it, and a job's ID has 200.
MAX_NAME_BYTES: Final = 175

#: Suffixes that a packer puts behind a file's own.
_PACKED: Final = frozenset({".gz", ".xz", ".zst"})


@dataclass(frozen=True, slots=True)
class ManifestWish:
    """What somebody wants a manifest for: a source, as what it shall come out; whether its ``checksums`` shall be in
    it, and whether to look ``inside`` the guest."""

    source_path: str
    output_format: str = OUTPUT_FORMATS[0]
    compress: bool = True
    checksums: bool = False
    inside: bool = False


@dataclass(frozen=True, slots=True)
class ManifestDraft:
    """What the manifest shall say. ``source_path`` is written as it is; an empty ``name`` is left out, and so are
    ``size`` (bytes), ``checksum``, ``files`` (rows of ``path bytes checksum``) and ``metadata`` where nothing is
    known."""

    source_path: str
    source_type: str = SOURCE_TYPES[0]
    name: str = ""
    inspect: bool = True
    fix: bool = True
    output_format: str = OUTPUT_FORMATS[0]
    compress: bool = True
    validate: bool = True
    size: int | None = None
    checksum: str = ""
    files: Sequence[Mapping[str, object]] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The manifest. Where FIX is off its words are empty, as the Go client writes them."""
        head: dict[str, object] = {"version": "1.0", **({"name": self.name} if self.name else {})}
        promised = {
            **({} if self.size is None else {"bytes": self.size}),
            **({"checksum": self.checksum} if self.checksum else {}),
            **({"files": list(self.files)} if self.files else {}),
        }
        return {
            **head,
            "pipeline": {
                "load": {"source_type": self.source_type, "source_path": self.source_path, **promised},
                "inspect": {"enabled": self.inspect, "detect_os": self.inspect},
                "fix": {
                    "fstab": {"enabled": self.fix, "mode": "stabilize-all" if self.fix else ""},
                    "grub": {"enabled": self.fix},
                    "initramfs": {"enabled": self.fix, "regenerate": self.fix},
                    "network": {"enabled": self.fix, "fix_level": "full" if self.fix else ""},
                },
                "convert": {"output_format": self.output_format, "compress": self.compress},
                "validate": {"enabled": self.validate, "boot_test": False},
            },
            **({"metadata": dict(self.metadata)} if self.metadata else {}),
        }


def name_of(source: str) -> str:
    """What the guest of a source is called: its file without the suffix; of ``image.tar.xz`` and ``disk.raw.gz``,
    without both."""
    path = PurePosixPath(source)
    inner = PurePosixPath(path.stem)
    packed = path.suffix.lower() in _PACKED and (inner.suffix.lower() == ".tar" or type_by_suffix(inner.name) != "")
    return name_from(inner.stem if packed else path.stem)


def name_from(stem: str) -> str:
    """A file's name without its suffix as the guest's name; empty if a job could not be called so."""
    usable = stem.isprintable() and not stem.startswith(".") and len(stem.encode()) <= MAX_NAME_BYTES
    return stem if usable else ""
