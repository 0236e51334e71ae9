"""The workflow manifest, version 1.0: one guest, or a batch of them, and what each stage shall do."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from hypersdkd.model.guest import SOURCE_TYPES, FilePromise
from hypersdkd.model.guest_wishes import ENGINES
from hypersdkd.model.manifest_fields import (
    FIX_LEVELS,
    FSTAB_MODES,
    MAX_DISKS,
    MAX_FILES,
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
    check_path,
    check_source_type,
    check_switchable,
    empty,
    wrong,
)

#: Guests of a batch at most.
MAX_GUESTS: Final = 10_000


class LoadFile(Section):
    """A further file that a source consists of: an extent, a parent, a disk of an OVF.

    ``path`` is from the directory of the named file on.
    """

    path: SourcePath
    size: Bytes | None = Field(None, alias="bytes")
    checksum: Checksum | None = None

    def promise(self) -> FilePromise:
        """As LOAD gets it."""
        return FilePromise(self.path, self.size, self.checksum or "")


LoadFiles = Annotated[list[LoadFile], Field(max_length=MAX_FILES)]


class LoadDisk(Section):
    """One disk of a guest of several. ``files`` and ``trust_source_type`` as in :class:`Load`, for this disk."""

    source_type: SourceType
    source_path: SourcePath
    size: Bytes | None = Field(None, alias="bytes")
    checksum: Checksum | None = None
    files: LoadFiles | None = None
    trust_source_type: bool = False


class Load(Section):
    """What to read: ``source_type`` and ``source_path``, or ``disks`` in boot order.

    ``bytes`` and ``checksum`` are what the file must have, ``files`` all others that it needs. ``trust_source_type``
    takes a raw disk that starts like another format for what it is; ``ignore_checksums`` an appliance whose files are
    not what its ``.mf`` says.
    """

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["source_type", "source_path"]}, {"required": ["disks"]}]}
    )

    disks: Annotated[list[LoadDisk], Field(min_length=1, max_length=MAX_DISKS)] | None = None
    source_type: str = Field("", validate_default=True, json_schema_extra={"enum": [*SOURCE_TYPES, ""]})
    source_path: str = Field("", validate_default=True)
    size: Bytes | None = Field(None, alias="bytes")
    checksum: Checksum | None = None
    files: LoadFiles | None = None
    trust_source_type: bool = False
    ignore_checksums: bool = False

    @field_validator("size", "checksum", "files")
    @classmethod
    def _of_one(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("disks") is not None:
            raise wrong("cannot stand beside disks", "Say it of the disk that is meant.")
        return value

    @field_validator("source_type", "source_path")
    @classmethod
    def _one_or_many(cls, value: str, info: ValidationInfo) -> str:
        if "disks" not in info.data:  # wrong itself, and reported as such
            return value
        if info.data["disks"] is not None:
            if value:
                raise wrong("cannot stand beside disks", "Keep either disks, or source_type and source_path.")
            return value
        if not value:
            raise empty()
        return check_source_type(value) if info.field_name == "source_type" else check_path(value)


class Inspect(Section):
    """Whether and how the guest's operating system is looked at. ``luks_key_file`` has keys of encrypted disks."""

    enabled: bool = True
    detect_os: bool = True
    luks_key_file: OutputPath = ""


class Toggle(Section):
    """A part of a stage that may be off."""

    enabled: bool = True


class Fstab(Toggle):
    """How the guest's fstab is written."""

    mode: str = Field(FSTAB_MODES[0], json_schema_extra={"enum": [*FSTAB_MODES, ""]})

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, value: str, info: ValidationInfo) -> str:
        return check_switchable(FSTAB_MODES, value, enabled=info.data.get("enabled", True))


class Grub(Toggle):
    """Whether boot loaders are mended; ``serial_console`` adds one for the kernel's and the system's messages."""

    serial_console: bool = False


class Initramfs(Toggle):
    """Whether the guest's initramfs gets what it needs to boot on KVM."""

    regenerate: bool = True


class Network(Toggle):
    """How much of the guest's network set-up is mended."""

    fix_level: str = Field(FIX_LEVELS[0], json_schema_extra={"enum": [*FIX_LEVELS, ""]})

    @field_validator("fix_level")
    @classmethod
    def _known_level(cls, value: str, info: ValidationInfo) -> str:
        return check_switchable(FIX_LEVELS, value, enabled=info.data.get("enabled", True))


class Fix(Toggle):
    """What is changed in the guest, and who does it. Where FIX is off, so are all its parts."""

    engine: str = Field(ENGINES[0], json_schema_extra={"enum": [*ENGINES, ""]})
    fstab: Fstab | None = None
    grub: Grub | None = None
    initramfs: Initramfs | None = None
    network: Network | None = None
    leftovers: Toggle | None = None
    selinux: Toggle | None = None

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, value: str, info: ValidationInfo) -> str:
        return check_switchable(ENGINES, value, enabled=info.data.get("enabled", True))

    @model_validator(mode="before")
    @classmethod
    def _off_means_all_off(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("enabled") is False:
            return {
                key: {**value, "enabled": False} if isinstance(value, dict) else value for key, value in data.items()
            }
        return data


class Convert(Toggle):
    """The output: its format, whether it is compressed, and where it goes (empty: the output directory)."""

    output_format: OutputFormat
    compress: bool = False
    output_path: OutputPath = ""


class Validate(Toggle):
    """Further checks of the output: ``compare`` reads all of it and the source, ``checksums`` records both.

    ``boot_seconds`` is how long a boot may take, instead of what is usual here.
    """

    boot_test: bool = False
    boot_seconds: Annotated[int, Field(ge=10, le=86400)] | None = None
    compare: bool = False
    checksums: bool = False


class Pipeline(Section):
    """The five stages of a guest."""

    load: Load
    inspect: Inspect | None = None
    fix: Fix | None = None
    convert: Convert
    validation: Validate = Field(Validate(), alias="validate")


class Options(Section):
    """``dry_run``: the report says what would be changed, and nothing is written."""

    dry_run: bool = False


class SingleManifest(Section):
    """A manifest of one guest. ``batch`` and ``vms`` are known keys that only a batch reads."""

    version: Version
    name: Name = ""
    batch: object = None
    vms: object = None
    pipeline: Pipeline
    options: Options = Options()
    metadata: object = None


class BatchGuest(Section):
    """One guest of a batch."""

    name: RequiredName
    pipeline: Pipeline
    metadata: object = None


class BatchHead(Section):
    """A batch without its guests. ``pipeline`` is a known key that only a single manifest reads."""

    version: Version
    name: Name = ""
    batch: object
    pipeline: object = None
    options: Options = Options()


class BatchManifest(BatchHead):
    """A manifest of many guests."""

    vms: Annotated[list[BatchGuest], Field(min_length=1, max_length=MAX_GUESTS)]
