"""Whether a disk image has its own end yet: a writer may pause, or close and open it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.host import image_vhd, image_vhdx, image_vmdk, image_vmdk_esx, ovf_xml, tar_index
from hypersdkd.host.compressed_end import require_end
from hypersdkd.host.image_file import ImageFile, opened
from hypersdkd.host.image_header import Detected, detect, judge, require_format
from hypersdkd.host.unpacking import COMPRESSIONS
from hypersdkd.model.problem import ProblemError, fail

#: Formats whose tables say how long the file must be.
_SELF_MEASURING: Final = frozenset({"vmdk", "qcow2", "vdi"})

_VHD_SUFFIXES: Final = frozenset({"vhd", "avhd"})

#: How each kind of VMDK is looked at; of a descriptor's text nothing tells whether it is whole.
_VMDK_READERS: Final[Mapping[str, Callable[[ImageFile], object]]] = {
    "sparse": image_vmdk.require_whole,
    "COWD": image_vmdk_esx.judge_cowd,
    "seSparse": image_vmdk_esx.judge_sesparse,
    "descriptor": lambda _image: None,
}

#: Seconds for a look. What takes longer counts as whole: it is judged again, and fully, when it is loaded.
#: Hundreds of images may lie before the one that is asked for.
_SECONDS: Final = 0.05

#: Problems that more bytes may mend.
_MAY_GROW: Final = frozenset({"image-empty", "image-truncated", "source-changed"})


def incomplete(path: Path, *, named: bool = True) -> str:
    """Why the image at ``path`` is clearly not whole yet; empty if it is, or if one cannot tell.

    Reads headers and tables, and the text of a descriptor: 0.3 ms for a small image, about 20 ms for each 50 GiB of
    data in it.
    An image that is whole but bad is not incomplete: it fails when it is loaded. Without ``named`` its suffix says
    nothing of its format, as of an extent that holds a disk's content as it is. Raises ``OSError`` when it
    cannot be opened; what is not a regular file counts as whole.
    """
    try:
        with opened(path, seconds=_SECONDS) as image:
            return _missing_end(image, path.suffix.lower().removeprefix(".") if named else "")
    except ProblemError as error:
        return error.problem.message if error.problem.code in _MAY_GROW else ""


def _missing_end(image: ImageFile, suffix: str) -> str:
    if image.size == 0:
        return f"{image.name} is empty"
    found = detect(image)
    if found.format == "ova":
        _require_members(image)
    elif found.format in COMPRESSIONS:
        require_end(image, found.format)
    elif suffix == "ova":
        require_format(image, "ova")
    elif suffix == "ovf":
        _require_text(image)
    else:
        _require_disk(image, found, suffix)
    return ""


def _require_disk(image: ImageFile, found: Detected, suffix: str) -> None:
    if found.format == "vmdk":
        _VMDK_READERS[found.variant](image)
    elif found.format in _SELF_MEASURING:
        judge(image, found.format)
    elif suffix in _SELF_MEASURING and found.format == "raw":
        judge(image, suffix)
    elif found.format == "vhd" or (suffix in _VHD_SUFFIXES and found.format == "raw"):
        image_vhd.read(image)
    elif found.format == "vhdx":
        image_vhdx.read(image)


def _require_members(archive: ImageFile) -> None:
    """All members that an archive has must be there, and the disks among them whole: space that was only set aside
    for the archive looks like its end, or like a member's content."""
    for member in tar_index.read_index(archive).values():
        if member.size and member.regular and not member.sparse:
            part = archive.part(member.offset, member.size, member.file_name)
            suffix = PurePosixPath(member.name.lower()).suffix.removeprefix(".")
            _require_disk(part, detect(part), suffix)


def _require_text(image: ImageFile) -> None:
    if image.size <= ovf_xml.MAX_BYTES and ovf_xml.is_cut(image.read(0, image.size, "text")):
        raise fail("image-truncated", f"{image.name} ends in the middle of its text")
