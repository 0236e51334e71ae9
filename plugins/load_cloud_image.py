"""LOAD: a cloud image as providers publish it (``ami``): a disk in a tar archive, or a disk that is compressed.

A plain archive is read in place; what is compressed is unpacked once, into the guest's own directory, with limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from hypersdkd.host import tar_index, unpacking
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_header import detect, named_right
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.ova import is_descriptor
from hypersdkd.host.promised_source import checksums_as_promised, require_others, require_size
from hypersdkd.host.source_disk import alone, claimed_elsewhere, judge_alone
from hypersdkd.model.disk import FileNode, SourceDisk
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.problem import fail, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Loader

#: Source type of a disk by its suffix: in an archive, or before that of its compression.
_DISKS: Final[Mapping[str, str]] = {
    ".raw": "raw",
    ".img": "",
    ".qcow2": "qcow2",
    ".vmdk": "vmdk",
    ".vhd": "vhd",
    ".vhdx": "vhdx",
    ".vdi": "vdi",
}

#: Seconds for reading tables; unpacking has limits of its own.
_JUDGE_SECONDS: Final = 24 * 3600.0


@hookimpl
def hypersdkd_loaders() -> Sequence[Loader]:
    """Cloud images."""
    return (Loader(frozenset({"ami"}), load),)


def load(context: StepContext, source: DiskSource) -> SourceDisk:
    """The one disk of a cloud image. Raises what keeps it from being read safely and whole."""
    with OpenSource(context.source_roots, seconds=_JUDGE_SECONDS) as opened:
        image = opened.open(source.source_path)
        require_size(source, image)
        if image.size == 0:
            raise fail("image-empty", f"{image.name} is empty")
        # before anything is unpacked that is not what was promised
        digests = checksums_as_promised(
            source, opened, wanted=context.guest.checksums, on_progress=context.progress, check=context.check
        )
        require_others(source, opened.files[0], (), (), context.check)
        number, outer = 0, image
        compression = detect(image).format
        if compression in unpacking.COMPRESSIONS:
            target = unpacking.new_file(context.work, "unpacked")
            unpacking.unpack(image, compression, target, context.progress)
            own = opened.open_own(target)
            number = opened.index(own)
            outer = own.part(0, own.size, PurePosixPath(image.name).stem)  # what web01.raw.xz holds is web01.raw
        part, node = _disk(context, opened, outer, number)
        claimed = _DISKS.get(PurePosixPath(part.name.lower()).suffix, "") or detect(part).format
        with claimed_elsewhere(_remedy(part, claimed)):
            facts = judge_alone(part, claimed, trusted=source.trusted)
        graph = alone(facts, node)
        opened.compare_with_qemu(graph, facts, part.name)
        disk = opened.keep_part(graph, facts)
    context.finding(
        "source",
        {
            "path": one_line(source.source_path),
            "member": one_line(part.name),
            "compression": compression if compression in unpacking.COMPRESSIONS else "",
            "format": facts.format,
            "variant": facts.variant,
            "virtual_size": facts.virtual_size,
            "file_size": image.size,
        }
        | ({"checksum": digests[0]} if digests else {}),
    )
    for warning in facts.warnings:
        context.warn(warning)
    return disk


def _remedy(part: ImageFile, claimed: str) -> str:
    trust = " If it is a raw disk all the same, set load.trust_source_type to true." if claimed == "raw" else ""
    return f"Export it again; or give it the suffix of its format, or .img, in place of that of {part.name}.{trust}"


def _disk(context: StepContext, opened: OpenSource, outer: ImageFile, number: int) -> tuple[ImageFile, FileNode]:
    """The disk in the archive, or the whole file where it is none."""
    if detect(outer).format != "ova":  # what it calls a tar archive
        return outer, FileNode(number)
    members = tar_index.read_index(outer)
    if (descriptor := next(filter(is_descriptor, members.values()), None)) is not None:  # with checksums, and hardware
        message = f"{opened.images[0].name} is claimed to be ami, but is an appliance: it holds {descriptor.name}"
        raise fail("source-type-mismatch", one_line(message), remedy=named_right("ova"))
    disks = [
        each
        for each in members.values()
        if PurePosixPath(each.name.lower()).suffix in _DISKS and not each.file_name.startswith("._")  # macOS' notes
    ]
    if len(disks) != 1:
        names = ", ".join(one_line(each.name)[:80] for each in disks[:5])
        found = f"{len(disks)} disks ({names})" if disks else f"no disk ({', '.join(_DISKS)})"
        raise fail(
            "image-unsupported",
            f"{opened.images[0].name} holds {found}; a cloud image has one",
            remedy="Unpack it and name each disk in a manifest of its own.",
        )
    member = disks[0]
    if not member.regular:
        raise fail("source-not-regular", f"{one_line(member.name)} in {opened.images[0].name} is a link or a device")
    if member.sparse:
        target = unpacking.new_file(context.work, "member")
        unpacking.unpack_member(outer, member, target, context.progress)
        part = opened.open_own(target)
        return part, FileNode(opened.index(part))
    part = outer.part(member.offset, member.size, member.file_name)
    return part, FileNode(number, member.offset, tar_index.whole_blocks(outer, member))
