"""LOAD: an appliance, OVA or OVF: its disks in boot order, and what its descriptor says of the guest.

An OVA is read in place, by the offsets of its members; only what is compressed, be it all of it, or was packed with
its holes left out, is unpacked into the guest's own directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hypersdkd.host import ovf, ovf_manifest, ovf_xml, tar_index, unpacking
from hypersdkd.host.appliance_checksums import ApplianceChecksums
from hypersdkd.host.appliance_names import spellings
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_header import detect, require_format
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.ova import Package, read_package
from hypersdkd.host.promised_source import checksums_as_promised, checksums_promised, require_others, require_size, told
from hypersdkd.host.source_disk import alone, claimed_elsewhere, judge_alone, read_disk
from hypersdkd.model.disk import FileNode, SourceDisk
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Loader

#: Seconds for reading the tables of all disks, and their checksums: an hour for what an export of a night has.
_JUDGE_SECONDS: Final = 6 * 3600.0

#: What may be done besides where a .mf cannot be read.
_ALL_THE_SAME: Final = "If the appliance is the right one all the same, set load.ignore_checksums to true."

#: What to do where a disk is of another format than its descriptor says.
_MISNAMED: Final = "Correct the disk's ovf:format in the descriptor, or name the disk itself in a manifest."


@hookimpl
def hypersdkd_loaders() -> Sequence[Loader]:
    """Appliances: one archive, or a descriptor with its files beside it."""
    return (Loader(frozenset({"ova"}), load_ova), Loader(frozenset({"ovf"}), load_ovf))


def load_ova(context: StepContext, source: DiskSource) -> Sequence[SourceDisk]:
    """The disks of a tar archive. Raises what keeps any of them from being read safely and whole."""
    with OpenSource(context.source_roots, seconds=_JUDGE_SECONDS) as opened:
        archive = opened.open(source.source_path)
        digest = _promised(context, source, opened)
        require_others(source, opened.files[0], (), (), context.check)
        number, whole = _archive(context, opened)
        package = read_package(whole)
        appliance = ovf.read(package.content(package.descriptor, ovf_xml.MAX_BYTES), package.descriptor.file_name)
        _tell(context, appliance)
        members = [package.member(disk.file) for disk in appliance.disks]
        checksums = _checksums(context, source, partial(_promise_of, package))
        disks = []
        with _reading_on(context, checksums):
            _verify_members(checksums, package, members)
            for member, disk in zip(members, appliance.disks, strict=True):
                name = package.name_beside(member)
                place = _Place(opened, whole, number, member)
                disks.append(_member_disk(context, place, disk, partial(checksums.verify, name)))
    _tell_of_files(context, source, archive, digest, checksums)
    _tell_of_disks(context, appliance, disks)
    return disks


def load_ovf(context: StepContext, source: DiskSource) -> Sequence[SourceDisk]:
    """The disks of a descriptor whose files lie beside it."""
    with ExitStack() as stack:
        opened = stack.enter_context(OpenSource(context.source_roots, seconds=_JUDGE_SECONDS))
        image = opened.open(source.source_path)
        digest = _promised(context, source, opened)
        if detect(image).format not in {"ovf", "raw"}:  # text may begin as it likes
            require_format(image, "ovf")
        if image.size > ovf_xml.MAX_BYTES:
            raise fail("image-limits", f"{image.name} has over {ovf_xml.MAX_BYTES} bytes")
        if image.size == 0:
            raise fail("image-empty", f"{image.name} is empty")
        appliance = ovf.read(image.read(0, image.size, "text"), image.name)
        _tell(context, appliance)
        others = [stack.enter_context(_other(opened, disk)) for disk in appliance.disks]
        checksums = _checksums(context, source, partial(_promise_beside, opened))
        checksums.mention(opened.files[0].path.name)
        for other in others:
            checksums.require(other.files[0].path.name)
        with _reading_on(context, checksums):
            for each in (opened, *others):
                checksums.verify_later(each.files[0].path.name, each.images[0])
            disks = [
                _file_disk(context, other, disk, checksums) for other, disk in zip(others, appliance.disks, strict=True)
            ]
        files = _promised_beside(context, source, opened, others)
    _tell_of_files(context, source, image, digest, checksums, [*told(opened.files[:1], [digest]), *files])
    _tell_of_disks(context, appliance, disks)
    return disks


# -- what was promised ----------------------------------------------------------------------------------


def _promised(context: StepContext, source: DiskSource, opened: OpenSource) -> str:
    """The named file is the one that the manifest means. Its checksum, where one is asked for."""
    require_size(source, opened.images[0])
    digests = checksums_as_promised(
        source, opened, wanted=context.guest.checksums, on_progress=context.progress, check=context.check
    )
    return digests[0] if digests else ""


def _promised_beside(
    context: StepContext, source: DiskSource, opened: OpenSource, others: Sequence[OpenSource]
) -> list[dict[str, object]]:
    """The disks' files beside a descriptor are those that the manifest means. What the report has of them."""
    theirs = [pair for other in others for pair in other.theirs]
    digests: list[str] = []
    if context.guest.checksums or checksums_promised(source):
        digests = [digest for other in others for digest in other.checksums(context.progress)]
    require_others(source, opened.files[0], theirs, digests, context.check)
    return told([file for file, _image in theirs], digests)


def _checksums(context: StepContext, source: DiskSource, find: Callable[[], tuple[str, bytes]]) -> ApplianceChecksums:
    """By the ``.mf`` that ``find`` finds, its name and its text. Where a manifest passes over checksums, one that
    cannot be read is a warning."""
    try:
        name, text = find()
        promised = ovf_manifest.read(text, name) if name else {}
    except ProblemError as error:
        if not source.ignore_checksums:
            remedy = f"{error.problem.remedy} {_ALL_THE_SAME}"
            raise ProblemError(replace(error.problem, remedy=remedy)) from error
        context.warn(error.problem)
        name, promised = "", {}
    return ApplianceChecksums(
        name,
        promised,
        lenient=source.ignore_checksums,
        check=context.check,
        warn=context.warn,
        on_progress=context.progress,
    )


def _promise_of(package: Package) -> tuple[str, bytes]:
    """Name and text of an archive's ``.mf``, empty where there is none."""
    found = package.checksums()
    return (found.file_name, package.content(found, ovf_manifest.MAX_BYTES)) if found else ("", b"")


def _promise_beside(opened: OpenSource) -> tuple[str, bytes]:
    """Name and text of the ``.mf`` beside a descriptor, empty where there is none."""
    try:
        found = opened.open_sibling(f"{opened.files[0].path.stem}.mf")
    except ProblemError as error:
        if error.problem.code == "source-missing":
            return "", b""
        raise
    return found.name, found.read(0, min(found.size, ovf_manifest.MAX_BYTES + 1), "text")


def _verify_members(checksums: ApplianceChecksums, package: Package, disks: Sequence[tar_index.Member]) -> None:
    """The files of an archive against its ``.mf``. What was packed with its holes left out is verified when it is
    unpacked."""
    checksums.mention(package.descriptor.file_name)
    for member in disks:
        checksums.require(package.name_beside(member))
    for name, member in package.beside().items():
        if not member.sparse:
            checksums.verify_later(name, package.part(member))


@contextmanager
def _reading_on(context: StepContext, checksums: ApplianceChecksums) -> Iterator[None]:
    """What is large is hashed beside INSPECT, FIX and CONVERT, also where LOAD fails: it may be the reason."""
    try:
        yield
    finally:
        if checksums.unread:
            context.meanwhile(checksums.hash_the_rest)


# -- one disk -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a disk is: a ``member`` of the ``archive``, which is file ``number`` of a source."""

    opened: OpenSource
    archive: ImageFile
    number: int
    member: tar_index.Member


def _archive(context: StepContext, opened: OpenSource) -> tuple[int, ImageFile]:
    """The archive, and which file it is: of one that was compressed as a whole it is one of ours."""
    image = opened.images[0]
    kind = detect(image).format
    if kind not in unpacking.COMPRESSIONS:
        require_format(image, "ova")
        return 0, image
    target = unpacking.new_file(context.work, "archive")
    unpacking.unpack(image, kind, target, context.progress)
    own = opened.open_own(target)
    whole = own.part(0, own.size, image.name)
    require_format(whole, "ova")
    return opened.index(own), whole


def _member_disk(
    context: StepContext, place: _Place, disk: ovf.Disk, verify: Callable[[ImageFile], None]
) -> SourceDisk:
    """A disk in an archive; ``verify`` is for what must be unpacked before it is the file that was packed."""
    opened, archive, member = place.opened, place.archive, place.member
    _require_length(disk, member.real_size or member.size, member.file_name)
    part = archive.part(member.offset, member.size, member.file_name)
    if member.sparse:
        target = unpacking.new_file(context.work, "member")
        unpacking.unpack_member(archive, member, target, context.progress)
        part = opened.open_own(target)
        verify(part)
    if disk.compressed:
        target = unpacking.new_file(context.work, "unpacked")
        unpacking.unpack(part, "gzip", target, context.progress, _most(disk))
        part = opened.open_own(target)
    if part.fd == archive.fd:
        node = FileNode(place.number, member.offset, tar_index.whole_blocks(archive, member))
    else:
        node = FileNode(opened.index(part))
    facts = _judged(part, disk)
    graph = alone(facts, node)
    opened.compare_with_qemu(graph, facts, member.file_name)
    _compare_capacity(context, disk, facts, member.file_name)
    return opened.keep_part(graph, facts)


def _file_disk(context: StepContext, other: OpenSource, disk: ovf.Disk, checksums: ApplianceChecksums) -> SourceDisk:
    """A disk beside a descriptor, of one file or several."""
    image = other.images[0]
    _require_length(disk, image.size, image.name)
    if disk.compressed:
        target = unpacking.new_file(context.work, "unpacked")
        unpacking.unpack(image, "gzip", target, context.progress, _most(disk))
        part = other.open_own(target)
        facts = _judged(part, disk)
        graph = alone(facts, FileNode(other.index(part)))
        other.compare_with_qemu(graph, facts, image.name)
        _compare_capacity(context, disk, facts, image.name)
        return other.keep_part(graph, facts)
    with claimed_elsewhere(_MISNAMED):
        facts, graph = read_disk(other, disk.format or detect(image).format)
    other.compare_with_qemu(graph, facts)
    _compare_capacity(context, disk, facts, image.name)
    for file, part in zip(other.files[1:], other.images[1:], strict=True):
        checksums.require(file.path.name)
        checksums.verify_later(file.path.name, part)
    return other.keep(graph, facts)


def _judged(part: ImageFile, disk: ovf.Disk) -> ImageFacts:
    """A disk that must be whole in itself. What nothing is said of is taken for what it is."""
    with claimed_elsewhere(_MISNAMED):
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


def _other(opened: OpenSource, disk: ovf.Disk) -> OpenSource:
    """The source that a disk's file beside the descriptor is. Raises ``source-incomplete`` where it is missing, and
    what :func:`hypersdkd.host.image_source.open_sibling` does."""
    likeliest, *others = spellings(disk.file)
    for name in (likeliest, *others):
        try:
            return opened.beside(name)
        except ProblemError as error:
            if error.problem.code != "source-missing":
                raise
    message = f"{one_line(likeliest)[:200]}, which {opened.images[0].name} names, is not beside it"
    raise fail("source-incomplete", message)


def _tell(context: StepContext, appliance: ovf.Appliance) -> None:
    context.finding("hardware", appliance.hardware())
    context.finding("nics", [card.as_dict() for card in appliance.cards])


def _tell_of_files(
    context: StepContext,
    source: DiskSource,
    image: ImageFile,
    digest: str,
    checksums: ApplianceChecksums,
    files: Sequence[Mapping[str, object]] = (),
) -> None:
    fact: dict[str, object] = {
        "path": one_line(source.source_path),
        "format": source.source_type,
        "file_size": image.size,
        "checksums": {"file": checksums.name, "verified": checksums.verified},
    }
    more = {"files": list(files)} if files else {}
    context.finding("source", fact | ({"checksum": digest} if digest else {}) | more)


def _tell_of_disks(context: StepContext, appliance: ovf.Appliance, disks: Sequence[SourceDisk]) -> None:
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
