"""One guest of a job, as the worker gets it: plain, complete, already validated.

A manifest of either dialect, or a dropped disk, becomes a tuple of these. A worker reads its own from
``guest.json`` without pydantic, so that it starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Final


@dataclass(frozen=True, slots=True)
class FilePromise:
    """A further file of a source: its ``path`` from the directory of the named one on, its ``size`` (bytes) and its
    ``checksum`` (``sha256:HEX``) where they are promised."""

    path: str
    size: int | None = None
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class DiskSource:
    """One disk to read: ``source_type`` in lower case, ``source_path`` as given.

    ``size`` (bytes) and ``checksum`` (``sha256:HEX``) are what the manifest promises of the named file, to be verified;
    ``files`` what it promises of all others that the source consists of, where it names any.
    ``trusted`` is ``load.trust_source_type``, ``ignore_checksums`` the key of that name.
    """

    source_type: str
    source_path: str
    size: int | None = None
    checksum: str = ""
    trusted: bool = False
    ignore_checksums: bool = False
    files: tuple[FilePromise, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> DiskSource:
        """Read its part of :meth:`Guest.as_dict` back. Raises ``TypeError`` on anything else."""
        values = dict(data)
        files = values.pop("files", ())
        if not isinstance(files, list | tuple):
            raise TypeError("files must be a list")
        return cls(files=tuple(FilePromise(**file) for file in files), **values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest: its disks in boot order, what each stage shall do, and where the result goes.

    ``inspect``, ``fix`` and ``validate`` are the manifest's objects of those stages (plain JSON values),
    for the steps that read them; ``None`` where the manifest has none. ``output_path`` is as given in the
    manifest. When the daemon has planned the job, ``outputs`` are absolute paths below ``output_root``, made by
    :func:`output_names` of ``output_name``: one for each of ``disks``, and once LOAD has found how many disks those
    really hold (an appliance has several in one file) one for each of them.
    ``fix_if_possible``: FIX was not asked for by a manifest, and is left out where it cannot be done. ``dry_run``:
    nothing is written; the report says what would be changed.
    ``warnings`` are ``Problem.as_dict()`` shapes found when the manifest was read. ``networks`` is the configuration's
    ``maps.networks``. ``told`` is what the manifest tells of the guest's hardware, as LOAD's findings are:
    ``hardware`` (``cpus``, ``memory_bytes``, ``firmware``) and ``nics`` (``mac``, ``network``).
    """

    name: str
    disks: tuple[DiskSource, ...]
    output_format: str = "qcow2"
    compress: bool = False
    output_path: str = ""
    outputs: tuple[str, ...] = ()
    output_root: str = ""
    output_name: str = ""
    compare: bool = False
    checksums: bool = False
    inspect: Mapping[str, object] | None = None
    fix: Mapping[str, object] | None = None
    validate: Mapping[str, object] | None = None
    fix_if_possible: bool = False
    dry_run: bool = False
    warnings: tuple[Mapping[str, str], ...] = field(default=())
    networks: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """JSON shape; :meth:`from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Guest:
        """Read :meth:`as_dict` back. Raises ``TypeError`` or ``KeyError`` on anything else."""
        values = dict(data)
        disks = values.pop("disks")
        outputs = values.pop("outputs", ())
        warnings = values.pop("warnings", ())
        if not isinstance(disks, list | tuple) or not isinstance(outputs, list | tuple):
            raise TypeError("disks and outputs must be lists")
        if not isinstance(warnings, list | tuple):
            raise TypeError("warnings must be a list")
        return cls(
            disks=tuple(map(DiskSource.from_dict, disks)),
            outputs=tuple(str(path) for path in outputs),
            warnings=tuple(warnings),
            **values,  # type: ignore[arg-type]
        )


def output_names(output_name: str, count: int, output_format: str) -> tuple[str, ...]:
    """Where ``count`` disks go: ``output_name`` itself, or ``STEM-disk1.SUFFIX``, ``-disk2`` and so on beside it."""
    if count == 1:
        return (output_name,)
    name = PurePosixPath(output_name)
    suffix = name.suffix or f".{output_format}"
    return tuple(str(name.with_name(f"{name.stem}-disk{number}{suffix}")) for number in range(1, count + 1))


#: qemu-img's name of each output format, which is also its file suffix here.
OUTPUT_FORMATS = ("qcow2", "raw", "vdi", "vmdk")

#: Source types that a manifest may name (hyper2kvm's, and qcow2 and vdi).
SOURCE_TYPES = ("vmdk", "ova", "ovf", "vhd", "vhdx", "raw", "ami", "qcow2", "vdi")

#: Source types of file suffixes that are not a source type's own name; qemu calls a VHD ``vpc``.
_SUFFIX_TYPES: Final[Mapping[str, str]] = {"img": "raw", "vpc": "vhd", "avhd": "vhd", "avhdx": "vhdx"}


def type_by_suffix(name: str) -> str:
    """The source type that a file's suffix claims, in any case; empty if it claims none."""
    suffix = PurePosixPath(name).suffix.lower().removeprefix(".")
    return suffix if suffix in SOURCE_TYPES else _SUFFIX_TYPES.get(suffix, "")
