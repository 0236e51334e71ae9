"""LOAD: an appliance, OVA or OVF: its disks in boot order, and what its descriptor says of the guest.

An OVA is read in place, by the offsets of its members; only what is compressed, or was packed with its holes left
out, is unpacked into the guest's own directory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final
from urllib.parse import unquote

from hypersdkd.host import ovf, ovf_manifest, tar_index, unpacking
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_header import detect, require_format
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.source_disk import alone, judge_alone, read_disk
from hypersdkd.model.disk import FileNode, SourceDisk
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Loader

#: Seconds for reading the tables of all disks, and their checksums: an hour for what an export of a night has.
_JUDGE_SECONDS: Final = 6 * 3600.0


@hookimpl
def hypersdkd_loaders() -> Sequence[Loader]:
    """Appliances: one archive, or a descriptor with its files beside it."""
    return (Loader(frozenset({"ova"}), load_ova), Loader(frozenset({"ovf"}), load_ovf))


def load_ova(context: StepContext, source: DiskSource) -> Sequence[SourceDisk]:
    """The disks of a tar archive. Raises what keeps any of them from being read safely and whole."""
    with OpenSource(context.source_roots, seconds=_JUDGE_SECONDS) as opened:
        archive = opened.open(source.source_path)
        _require_size(source, archive)
        require_format(archive, "ova")
        members = tar_index.read_index(archive)
        descriptor = _only(archive, members, ".ovf")
        appliance = ovf.read(_content(archive, descriptor, ovf.MAX_BYTES), descriptor.file_name)
        _tell(context, appliance)
        parts = {name: archive.part(each.offset, each.size, each.file_name) for name, each in members.items()}
        checksums = next((each for each in members.values() if each.name.lower().endswith(".mf")), None)
        if checksums is not None:
            promised = ovf_manifest.read(_content(archive, checksums, ovf_manifest.MAX_BYTES), checksums.file_name)
            _verify(context, source, promised, lambda name: parts.get(name))
        disks = [_member_disk(context, opened, members, disk) for disk in appliance.disks]
    _tell_of_files(context, appliance, disks)
    return disks


def load_ovf(context: StepContext, source: DiskSource) -> Sequence[SourceDisk]:
    """The disks of a descriptor whose files lie beside it."""
    with ExitStack() as stack:
        opened = stack.enter_context(OpenSource(context.source_roots, seconds=_JUDGE_SECONDS))
        image = opened.open(source.source_path)
        _require_size(source, image)
        if image.size > ovf.MAX_BYTES:
            raise fail("image-limits", f"{image.name} has over {ovf.MAX_BYTES} bytes")
        if image.size == 0:
            raise fail("image-empty", f"{image.name} is empty")
        appliance = ovf.read(image.read(0, image.size, "text"), image.name)
        _tell(context, appliance)
        others = {disk.file: stack.enter_context(_other(opened, disk)) for disk in appliance.disks}
        checksums = _beside(opened, f"{opened.files[0].path.stem}.mf")
        if checksums is not None:
            text = checksums.read(0, min(checksums.size, ovf_manifest.MAX_BYTES + 1), "text")
            known = {image.name: image} | {each.images[0].name: each.images[0] for each in others.values()}
            _verify(context, source, ovf_manifest.read(text, checksums.name), lambda name: known.get(name))
        disks = [_file_disk(context, others[disk.file], disk) for disk in appliance.disks]
    _tell_of_files(context, appliance, disks)
    return disks


# -- one disk -------------------------------------------------------------------------------------------


def _member_disk(
    context: StepContext, opened: OpenSource, members: Mapping[str, tar_index.Member], disk: ovf.Disk
) -> SourceDisk:
    archive = opened.images[0]
    member = members.get(disk.file) or members.get(unquote(disk.file))
    if member is None:
        raise fail("source-incomplete", f"{archive.name} has no member {one_line(disk.file)[:200]}")
    if not member.regular:
        raise fail("source-not-regular", f"{member.name} in {archive.name} is a link or a device")
    _require_length(disk, member.real_size or member.size, member.file_name)
    part = archive.part(member.offset, member.size, member.file_name)
    if not member.sparse and not disk.compressed:
        node = FileNode(0, member.offset, tar_index.whole_blocks(archive, member))
    else:
        target = context.work / f"member-{len(opened.images)}"
        if member.sparse:
            unpacking.unpack_member(archive, member, target, context.progress)
        else:
            unpacking.unpack(part, "gzip", target, context.progress, _most(disk))
        part = opened.open_own(target)
        node = FileNode(opened.index(part))
    facts = _judged(part, disk)
    graph = alone(facts, node)
    opened.compare_with_qemu(graph, facts, member.file_name)
    _compare_capacity(context, disk, facts, member.file_name)
    return opened.keep_part(graph, facts)


def _file_disk(context: StepContext, other: OpenSource, disk: ovf.Disk) -> SourceDisk:
    image = other.images[0]
    _require_length(disk, image.size, image.name)
    if disk.compressed:
        target = context.work / f"unpacked-{image.fd}"
        unpacking.unpack(image, "gzip", target, context.progress, _most(disk))
        part = other.open_own(target)
        facts = _judged(part, disk)
        graph = alone(facts, FileNode(other.index(part)))
        other.compare_with_qemu(graph, facts, image.name)
        _compare_capacity(context, disk, facts, image.name)
        return other.keep_part(graph, facts)
    facts, graph = read_disk(other, disk.format or detect(image).format)
    other.compare_with_qemu(graph, facts)
    _compare_capacity(context, disk, facts, image.name)
    return other.keep(graph, facts)


def _judged(part: ImageFile, disk: ovf.Disk) -> ImageFacts:
    """A disk that must be whole in itself. What nothing is said of is taken for what it is."""
    return judge_alone(part, disk.format or detect(part).format)


def _most(disk: ovf.Disk) -> int:
    """Bytes that a compressed image may have: what its disk can hold, and an eighth and some more for its tables."""
    return (disk.capacity or 0) * 9 // 8 + (64 << 20) if disk.capacity else 1 << 46


def _require_length(disk: ovf.Disk, size: int, name: str) -> None:
    if disk.size is not None and size < disk.size:
        raise fail("image-truncated", f"{name} has {size} bytes; its descriptor says {disk.size}")


def _compare_capacity(context: StepContext, disk: ovf.Disk, facts: ImageFacts, name: str) -> None:
    """An image that is larger is common (rounded to cylinders); a smaller one would have lost its end."""
    if disk.capacity is None or disk.capacity == facts.virtual_size:
        return
    message = f"{name} is a disk of {facts.virtual_size} bytes; the descriptor says {disk.capacity}"
    if facts.virtual_size < disk.capacity:
        raise fail("image-truncated", message, remedy="Export the guest again; or correct the capacity in the OVF.")
    context.warn(Problem("image-unclean", message))


# -- the appliance --------------------------------------------------------------------------------------


def _require_size(source: DiskSource, image: ImageFile) -> None:
    if source.size is not None and source.size != image.size:
        message = f"{image.name} has {image.size} bytes; the manifest says {source.size}"
        raise fail("source-changed", message, remedy="Copy the file again, or correct the manifest's bytes.")


def _only(archive: ImageFile, members: Mapping[str, tar_index.Member], suffix: str) -> tar_index.Member:
    """The one descriptor; of a regular file."""
    found = [member for member in members.values() if member.name.lower().endswith(suffix)]
    if len(found) != 1:
        many = f"{len(found)} descriptors" if found else "no descriptor"
        raise fail("image-invalid", f"{archive.name} is not an OVA: it has {many} ({suffix})")
    return found[0]


def _content(archive: ImageFile, member: tar_index.Member, limit: int) -> bytes:
    if not member.regular or member.sparse:
        raise fail("source-not-regular", f"{member.name} in {archive.name} is not a plain file")
    if member.size > limit:
        raise fail("image-limits", f"{member.name} in {archive.name} has {member.size} bytes; {limit} are allowed")
    return archive.read(member.offset, member.size, member.file_name)


def _plain(href: str) -> str:
    """The file name that a reference means: a URI's escapes stand for bytes; ``./`` is where it lies anyway."""
    return unquote(href).removeprefix("./")


def _other(opened: OpenSource, disk: ovf.Disk) -> OpenSource:
    try:
        return opened.beside(_plain(disk.file))
    except ProblemError as error:
        if error.problem.code != "source-missing":
            raise
        message = f"{one_line(_plain(disk.file))[:200]}, which {opened.images[0].name} names, is not beside it"
        raise fail("source-incomplete", message) from error


def _beside(opened: OpenSource, name: str) -> ImageFile | None:
    try:
        return opened.open_sibling(name)
    except ProblemError as error:
        if error.problem.code == "source-missing":
            return None
        raise


def _verify(
    context: StepContext,
    source: DiskSource,
    promised: Mapping[str, ovf_manifest.Digest],
    file: Callable[[str], ImageFile | None],
) -> None:
    """Every file's checksum. Raises ``source-checksum``, unless the manifest says to go on all the same."""
    for name, digest in promised.items():
        image = file(name)
        if image is None:
            continue  # of a file that no disk is in: it is not read either
        found = ovf_manifest.digest_of(image, digest.algorithm, context.progress)
        context.check("source-checksum", found == digest, f"{one_line(name)[:200]} {found}")
        if found == digest:
            continue
        problem = Problem(
            "source-checksum", f"{one_line(name)[:200]} has the checksum {found}; the export's .mf says {digest}"
        )
        if not source.ignore_checksums:
            raise ProblemError(problem)
        context.warn(problem)


def _tell(context: StepContext, appliance: ovf.Appliance) -> None:
    context.finding("hardware", appliance.hardware())
    context.finding("nics", [card.as_dict() for card in appliance.cards])


def _tell_of_files(context: StepContext, appliance: ovf.Appliance, disks: Sequence[SourceDisk]) -> None:
    rows = zip(appliance.disks, disks, strict=True)
    facts = [
        {
            "file": one_line(each.file)[:255],
            "address": each.address,
            "format": disk.format,
            "variant": disk.variant,
            "virtual_size": disk.virtual_size,
        }
        for each, disk in rows
    ]
    context.finding("source_disks", facts)
