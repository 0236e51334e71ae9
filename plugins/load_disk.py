"""LOAD: open a disk image, judge it, and let it through only if it is whole, safe and what it is claimed to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypersdkd.host import qemu_img, second_opinion
from hypersdkd.host.checksum import sha256_of
from hypersdkd.host.image_file import ImageFacts, ImageFile
from hypersdkd.host.image_header import judge
from hypersdkd.host.image_source import Lease, fingerprint, open_source
from hypersdkd.model.disk import SourceDisk
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.problem import fail, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Loader

SOURCE_TYPES: Final = frozenset({"vmdk", "raw", "qcow2", "vdi"})

#: Seconds for reading an image's tables: a fully allocated disk of 62 TiB takes 20.
_JUDGE_SECONDS: Final = 300.0


@hookimpl
def hypersdkd_loaders() -> Sequence[Loader]:
    """Images that are one self-contained file."""
    return (Loader(SOURCE_TYPES, load),)


def load(context: StepContext, source: DiskSource) -> SourceDisk:
    """Judge one disk. The source is opened read-only; its fingerprint lets later stages notice a change."""
    path, fd = open_source(source.source_path, context.source_roots)
    hold = Lease(fd, path.name)
    try:
        image = ImageFile.of(fd, path.name, seconds=_JUDGE_SECONDS)
        mark = fingerprint(fd)
        if source.size is not None and source.size != image.size:
            message = f"{path.name} has {image.size} bytes; the manifest says {source.size}"
            raise fail("source-changed", message, remedy="Copy the file again, or correct the manifest's bytes.")
        facts = judge(image, source.source_type, trusted=source.trusted)
        if facts.format != "raw":
            second_opinion.confirm(image, facts.format)
        _compare_with_qemu(image, facts)
        digest = _digest(context, image, source.checksum) if source.checksum or context.guest.checksums else ""
        if fingerprint(fd) != mark or hold.broken():
            raise fail("source-changed", f"{path.name} changed while it was read")
    except BaseException:
        hold.release()
        raise
    if not hold.leased:
        context.log(f"nobody can be kept from writing to {path.name}; a change is only noticed by its times")
    _tell(context, source, facts, digest)
    link = qemu_img.plain_path(path, context.work, f"source-{mark[1]}")
    return SourceDisk(
        path=path,
        reference=qemu_img.reference(link, facts.format),
        format=facts.format,
        virtual_size=facts.virtual_size,
        file_size=facts.file_size,
        variant=facts.variant,
        fingerprint=mark,
        held=hold,
    )


def _compare_with_qemu(image: ImageFile, facts: ImageFacts) -> None:
    """What qemu opens must be what was judged: nothing more, nothing else."""
    found = qemu_img.info(qemu_img.Source.of_fd(image.fd, facts.format))
    if found.names_others:
        raise fail("image-backing", f"{image.name} needs other files: {', '.join(found.names_others)[:500]}")
    if (found.format, found.virtual_size) != (facts.format, facts.virtual_size):
        raise fail(
            "image-invalid",
            f"{image.name} is {facts.format} of {facts.virtual_size} bytes by its header, "
            f"but qemu-img finds {found.format} of {found.virtual_size}",
        )
    if found.variant and found.variant.lower() != facts.variant.lower():
        raise fail("image-invalid", f"{image.name} is {facts.variant}, but qemu-img finds {found.variant}")


def _digest(context: StepContext, image: ImageFile, promised: str) -> str:
    """The file's SHA-256; raises ``source-changed`` if another one was promised."""
    found = sha256_of(image.fd, image.name, lambda done: context.progress(done, image.size))
    if promised:
        same = found == promised.lower()
        context.check("source-checksum", same, found)
        if not same:
            message = f"{image.name} has the checksum {found}; the manifest says {promised}"
            raise fail("source-changed", message, remedy="Copy the file again, or correct the manifest's checksum.")
    return found


def _tell(context: StepContext, source: DiskSource, facts: ImageFacts, digest: str) -> None:
    fact: dict[str, object] = {
        "path": one_line(source.source_path),
        "format": facts.format,
        "variant": facts.variant,
        "virtual_size": facts.virtual_size,
        "file_size": facts.file_size,
    }
    if digest:
        fact["checksum"] = digest
    context.finding("source", fact)
    for warning in facts.warnings:
        context.warn(warning)
