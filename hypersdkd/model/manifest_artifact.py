"""The artifact manifest, version 1.0: what an exporter wrote beside the disks that it fetched."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hypersdkd.model.guest import DiskSource
from hypersdkd.model.manifest_fields import (
    MAX_DISKS,
    Bytes,
    Checksum,
    Name,
    OutputFormat,
    OutputPath,
    RequiredName,
    Section,
    SourcePath,
    SourceType,
    Version,
)
from hypersdkd.model.manifest_workflow import Options, Toggle, Validate


class ArtifactDisk(Section):
    """A disk file: ``bytes`` is its size and must match; the lowest ``boot_order_hint`` boots."""

    id: RequiredName
    source_format: SourceType
    size: Bytes = Field(alias="bytes")
    local_path: SourcePath
    checksum: Checksum | None = None
    boot_order_hint: Annotated[int, Field(ge=0)] | None = None
    disk_type: str = ""
    label: str = ""

    def source(self) -> DiskSource:
        """The disk as LOAD gets it."""
        return DiskSource(self.source_format, self.local_path, size=self.size, checksum=self.checksum or "")


class ArtifactConvert(Toggle):
    """CONVERT with everything optional; without a format here, ``output.format`` counts, then qcow2."""

    output_format: OutputFormat | None = None
    compress: bool = False
    output_path: OutputPath = ""


class ArtifactValidate(Validate):
    """VALIDATE as exporters write it; the image's integrity is always checked."""

    check_image_integrity: bool = True


class ArtifactPipeline(Section):
    """The stages, all optional. INSPECT and FIX are handed on as they are."""

    inspect: dict[str, object] | None = None
    fix: dict[str, object] | None = None
    convert: ArtifactConvert = ArtifactConvert()
    validation: ArtifactValidate = Field(ArtifactValidate(), alias="validate")


class ArtifactOutput(Section):
    """Where the result goes, and its format."""

    directory: OutputPath = ""
    format: OutputFormat | None = None

    def path(self) -> str:
        """The directory as an output path: the slash at its end leaves the file's name to the planning."""
        return f"{self.directory.rstrip('/')}/" if self.directory else ""


class ArtifactManifest(Section):
    """The whole manifest. What the exporter tells of the guest and of itself is kept, not checked."""

    manifest_version: Version
    name: Name = ""
    disks: Annotated[list[ArtifactDisk], Field(min_length=1, max_length=MAX_DISKS)]
    vm: dict[str, object] | None = None
    source: dict[str, object] | None = None
    nics: list[object] | None = None
    pipeline: ArtifactPipeline = ArtifactPipeline()
    output: ArtifactOutput = ArtifactOutput()
    options: Options = Options()
    metadata: object = None
    notes: object = None
    warnings: object = None

    def boot_order(self) -> list[ArtifactDisk]:
        """The disks, lowest hint first; those without one come last, in the order written."""
        return sorted(self.disks, key=lambda disk: (disk.boot_order_hint is None, disk.boot_order_hint or 0))

    def guest_name(self) -> str:
        """The manifest's name, else what the exporter calls the guest, else nothing."""
        candidates = (self.name, (self.vm or {}).get("name"), (self.source or {}).get("vm_name"))
        return next((name for name in candidates if isinstance(name, str) and 0 < len(name) <= 255), "")
