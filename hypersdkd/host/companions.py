"""Which files beside it a dropped file needs: an OVF its disks, a descriptor its extents, a snapshot its parent, a job
config its inputs.

A look, not a judgement: headers and small texts are read, with limits, and what is not understood needs nothing; its
job then says what is wrong with it. Only plain names of files beside it count. Any other reference is none of a
companion: LOAD refuses it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.host import image_vhd, image_vhdx, image_vmdk, ovf, ovf_xml
from hypersdkd.host.appliance_names import spellings
from hypersdkd.host.files import open_regular
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_header import Detected, detect
from hypersdkd.host.image_qcow2 import backing_file
from hypersdkd.host.parent import ParentClaim
from hypersdkd.host.vmdk_disk import read_descriptor
from hypersdkd.model.document import MAX_BYTES
from hypersdkd.model.job import DOCUMENT_SUFFIXES
from hypersdkd.model.job_config import job_config_inputs
from hypersdkd.model.problem import ProblemError

#: Longest file name in bytes, limits.h.
_NAME_MAX: Final = 255

#: Names of extents that hold a disk's content as it is, so that nothing in them tells what they are, and of change
#: tracking files: never disks. ESXi's and VMware's hosted products' naming.
_FLAT_NAME: Final = re.compile(r".+-(flat|f\d{3,}|rdmp?|ctk)\.vmdk", re.IGNORECASE | re.DOTALL)

#: Names of extents that have a header, which says whether they are disks of their own all the same.
_SPARSE_NAME: Final = re.compile(r".+-(delta|sesparse|s\d{3,})\.vmdk", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that another needs beside it. It has ``least`` bytes at least, 0 where nothing says how many; one that is
    ``optional`` comes along where it is there, and is not waited for."""

    name: str
    least: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a file needs beside it. ``extent``: it is a part of a disk, and never one by itself."""

    companions: tuple[Companion, ...] = ()
    extent: bool = False


#: Of a file that is whole in itself.
ALONE: Final = Needs()


def needs_of(fd: int, name: str) -> Needs:
    """What the regular file ``name`` needs, by its suffix and its content. Cheap: reads 10 MiB of a document at most,
    4 MiB of an OVF, 1 MiB of a disk. Raises ``OSError``."""
    suffix = PurePosixPath(name.lower()).suffix
    try:
        if suffix in DOCUMENT_SUFFIXES:
            return _of_document(fd, name, "json" if suffix == ".json" else "yaml")
        if suffix == ".ovf":
            return _of_ovf(fd, name)
        if _FLAT_NAME.fullmatch(name):
            return Needs(extent=True)
        image = ImageFile.of(fd, name)
        found = detect(image)
        reader = _READERS.get(found.format)
        fits = suffix in {f".{found.format}", f".a{found.format}"}  # .avhd and .avhdx: Hyper-V's checkpoints
        return reader(image, name, found) if reader and fits else _unread(name)
    except ProblemError:
        return _unread(name)


def needed_beside(path: Path) -> list[str]:
    """All names that the file at ``path`` needs beside it, and those that these need, as they lie there now."""
    found: list[str] = []
    ahead = [path.name]
    for name in ahead:
        try:
            fd = open_regular(path.parent / name)
        except OSError:  # LOAD will say so
            continue
        try:
            needed = [companion.name for companion in needs_of(fd, name).companions]
        finally:
            os.close(fd)
        more = [one for one in dict.fromkeys(needed) if one not in found and one != path.name]
        found += more
        ahead += more
    return found


def _unread(name: str) -> Needs:
    return Needs(extent=bool(_SPARSE_NAME.fullmatch(name)))


def _siblings(own: str, companions: Iterable[Companion]) -> Needs:
    """Each name once, plain ones of others only."""
    known = {companion.name: companion for companion in companions if _is_sibling(companion.name)}
    known.pop(own, None)
    return Needs(tuple(known.values()))


def _is_sibling(name: str) -> bool:
    return name not in {"", ".", ".."} and not {"/", "\0"} & set(name) and len(os.fsencode(name)) <= _NAME_MAX


# -- documents and OVF ---------------------------------------------------------------------------------


def _of_document(fd: int, name: str, syntax: str) -> Needs:
    if os.fstat(fd).st_size > MAX_BYTES:
        return ALONE
    return _siblings(name, map(Companion, job_config_inputs(os.pread(fd, MAX_BYTES, 0), syntax)))


def _of_ovf(fd: int, name: str) -> Needs:
    """The files under ``References``, and the checksums and the certificate that may lie beside an OVF."""
    if os.fstat(fd).st_size > ovf_xml.MAX_BYTES:
        return ALONE
    named = ovf.references(os.pread(fd, ovf_xml.MAX_BYTES, 0), name)
    stem = PurePosixPath(name).stem
    beside = [Companion(f"{stem}.{kind}", optional=True) for kind in ("mf", "cert")]
    return _siblings(name, [*beside, *(Companion(spellings(one.href)[0], one.size) for one in named)])


# -- disks -----------------------------------------------------------------------------------------------


def _of_vmdk(image: ImageFile, name: str, found: Detected) -> Needs:
    """Extents and parent. A self-contained file names itself, by the name that it was made under."""
    if found.variant not in {"sparse", "descriptor"} or (found.variant == "sparse" and image_vmdk.is_part(image)):
        return Needs(extent=True)
    descriptor = read_descriptor(image)
    companions = [Companion(descriptor.parent_name)] if descriptor.is_snapshot else []
    if found.variant == "descriptor":
        tracking = f"{PurePosixPath(name).stem}-ctk.vmdk"  # which blocks were changed: VMware's, of no use here
        companions.append(Companion(tracking, optional=True))
        longest: dict[str, int] = {}
        for extent in descriptor.extents:
            longest[extent.name] = max(longest.get(extent.name, 0), extent.flat_end or 0)
        companions += [Companion(extent, least) for extent, least in longest.items()]
    return _siblings(name, companions)


def _of_qcow2(image: ImageFile, name: str, _found: Detected) -> Needs:
    backing = backing_file(image).removeprefix("./")
    return ALONE if ":" in backing else _siblings(name, [Companion(backing)])  # a protocol, or options for qemu


def _of_vhd(image: ImageFile, name: str, _found: Detected) -> Needs:
    return _of_parent(name, image_vhd.parent_of(image))


def _of_vhdx(image: ImageFile, name: str, _found: Detected) -> Needs:
    return _of_parent(name, image_vhdx.parent_of(image))


def _of_parent(name: str, parent: ParentClaim | None) -> Needs:
    """By the first of its names; they are the same but for a parent that was renamed by hand."""
    return _siblings(name, map(Companion, parent.names[:1])) if parent is not None else ALONE


#: Formats of disks that may name others, by the name that :func:`detect` gives them.
_READERS: Final[Mapping[str, Callable[[ImageFile, str, Detected], Needs]]] = {
    "vmdk": _of_vmdk,
    "qcow2": _of_qcow2,
    "vhd": _of_vhd,
    "vhdx": _of_vhdx,
}
