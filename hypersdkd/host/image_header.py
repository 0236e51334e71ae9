"""What a disk image is, by its content alone. A name or a manifest only claims; this decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hypersdkd.host import image_qcow2, image_vdi, image_vhd, image_vhdx, image_vmdk
from hypersdkd.host.image_file import SECTOR, ImageFacts, ImageFile, check_virtual_size
from hypersdkd.host.image_vmdk_esx import COWD_MAGIC, SESPARSE_MAGIC
from hypersdkd.host.vmdk_descriptor import looks_like_descriptor
from hypersdkd.model.guest import SOURCE_TYPES
from hypersdkd.model.problem import Problem, fail

_START: Final = 36 << 10  # reaches as far as an ISO's signature
_ISO_OFFSET: Final = 0x8001
_TAR_OFFSET: Final = 257
_GPT_OFFSETS: Final = (512, 4096)  # by the disk's sector size
_MBR_OFFSET: Final = 510

#: First bytes, the format's name (qemu's or the file suffix), a variant.
_MAGICS: Final = (
    (image_vmdk.MAGIC, "vmdk", "sparse"),
    (COWD_MAGIC, "vmdk", "COWD"),
    (SESPARSE_MAGIC, "vmdk", "seSparse"),
    (image_qcow2.MAGIC + b"\0\0\0\x01", "qcow", "v1"),
    (image_qcow2.MAGIC, "qcow2", ""),
    (image_vhdx.MAGIC, "vhdx", ""),
    (image_vhd.MAGIC, "vhd", "dynamic"),
    (b"QED\0", "qed", ""),
    (b"WithoutFreeSpace", "parallels", ""),
    (b"WithouFreSpacExt", "parallels", ""),
    (b"LUKS\xba\xbe", "luks", ""),
    (b"Bochs Virtual HD Image", "bochs", ""),
    (b"\x1f\x8b", "gzip", ""),
    (b"\xfd7zXZ\0", "xz", ""),
    (b"\x28\xb5\x2f\xfd", "zstd", ""),
    (b"BZh", "bzip2", ""),
    (b"PK\x03\x04", "zip", ""),
    (b"7z\xbc\xaf\x27\x1c", "7z", ""),
    (b"<?xml", "ovf", ""),
    (b"<Envelope", "ovf", ""),
)

#: Formats of :data:`_MAGICS` that may be a cloud image once they are unpacked.
COMPRESSED: Final = frozenset({"gzip", "xz", "zstd"})

#: Readers of images that are one file, by source type.
_READERS: Final[Mapping[str, Callable[[ImageFile], ImageFacts]]] = {
    "vmdk": image_vmdk.judge,
    "vhd": image_vhd.judge,
    "vhdx": image_vhdx.judge,
    "qcow2": image_qcow2.judge,
    "vdi": image_vdi.judge,
}


@dataclass(frozen=True, slots=True)
class Detected:
    """A format's name and variant. ``raw`` is what nothing else was found in: ``mbr``, ``gpt``, ``iso`` or neither."""

    format: str
    variant: str = ""


def detect(image: ImageFile) -> Detected:
    """What the file is; reads some kilobytes at its start and one sector at its end."""
    start, end = image.start(_START), image.end(SECTOR)
    for magic, name, variant in _MAGICS:
        if start.startswith(magic):
            return Detected(name, variant)
    if start[image_vdi.MAGIC_OFFSET :].startswith(image_vdi.MAGIC):
        return Detected("vdi")
    if looks_like_descriptor(start):
        return Detected("vmdk", "descriptor")
    if end.startswith(image_vhd.MAGIC):  # before MBR and GPT: the disk of a fixed VHD starts with its own
        return Detected("vhd", "fixed")
    if start[_TAR_OFFSET:].startswith(b"ustar"):
        return Detected("ova")
    if end.startswith(b"koly"):
        return Detected("dmg")
    return Detected("raw", _raw_variant(start))


def _raw_variant(start: bytes) -> str:
    if any(start[offset:].startswith(b"EFI PART") for offset in _GPT_OFFSETS):
        return "gpt"
    if start[_MBR_OFFSET:].startswith(b"\x55\xaa"):
        return "mbr"
    return "iso" if start[_ISO_OFFSET:].startswith(b"CD001") else ""


def judge(image: ImageFile, claimed: str, *, trusted: bool = False) -> ImageFacts:
    """Whether the image is what is claimed, whole, and safe to hand to qemu by that format.

    ``trusted`` lets a raw disk begin like another format. Raises the problem that stands in the way.
    """
    if image.size == 0:
        raise fail("image-empty", f"{image.name} is empty")
    found = detect(image)
    if claimed == "raw":
        return _judge_raw(image, found, trusted)
    if found.format != claimed:
        _refuse_mismatch(image, claimed, found)
    if found.format == "vmdk" and found.variant != "sparse":
        raise fail("image-unsupported", f"{image.name} is a VMDK {found.variant}, not one self-contained sparse file")
    reader = _READERS.get(claimed)
    if reader is None:
        raise fail("image-unsupported", f"images of type {claimed} are not read")
    return reader(image)


def require_format(image: ImageFile, claimed: str) -> Detected:
    """What the file is, which must be what is claimed: raises ``source-type-mismatch`` and its like if not."""
    found = detect(image)
    if found.format != claimed:
        _refuse_mismatch(image, claimed, found)
    return found


def _judge_raw(image: ImageFile, found: Detected, trusted: bool) -> ImageFacts:
    if found.format != "raw" and (not trusted or found.variant == "descriptor"):
        _refuse_mismatch(image, "raw", found)
    warnings: tuple[Problem, ...] = ()
    size = check_virtual_size(image.name, -(-image.size // SECTOR) * SECTOR)
    if image.size % SECTOR:
        message = f"{image.name} has {image.size} bytes, which is not a whole number of sectors"
        warnings = (Problem("image-unclean", message),)
    return ImageFacts("raw", found.variant if found.format == "raw" else "", size, image.size, warnings)


def named_right(form: str) -> str:
    """What to do about a source that is named by another type than its content's."""
    if form in COMPRESSED:
        return (
            "If it is a compressed disk or cloud image, set source_type to ami; where the suffix tells, call it .ami."
        )
    if form not in SOURCE_TYPES:
        return "Convert it with qemu-img or export it again, to one of the types that are read."
    return f"Set source_type to {form}; where the suffix tells the type, as of a dropped disk, call the file .{form}."


def _refuse_mismatch(image: ImageFile, claimed: str, found: Detected) -> None:
    if found.format == "luks":
        raise fail("image-encrypted", f"{image.name} is encrypted (LUKS)")
    if found.format == "qcow" and claimed == "qcow2":
        raise fail("image-unsupported", f"{image.name} is qcow version 1; 2 and 3 are read")
    if found.format == "raw" and claimed == "vhd":
        raise fail(
            "image-truncated",
            f"{image.name} ends without the footer of a VHD",
            remedy="Copy or export the disk again. If it is a raw disk all the same, set source_type to raw.",
        )
    if found.format == "raw" and not any(image.start(_START)):
        message = f"{image.name} begins with zeros where the header of a {claimed} image should be"
        raise fail("image-truncated", message)
    remedy = named_right(found.format)
    if claimed == "vmdk" and found.format == "raw":
        remedy = "Name the small text file that describes the disk, if there is one beside it. " + remedy
    if claimed == "raw" and found.variant != "descriptor":
        remedy += " If it is a raw disk all the same, set load.trust_source_type to true."
    message = f"{image.name} is claimed to be {claimed}, but its content is {found.format}"
    raise fail("source-type-mismatch", message, remedy=remedy)
