"""LOAD: open a disk image, judge it, and let it through only if it is whole, safe and what it is claimed to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypersdkd.host import newer_state
from hypersdkd.host.image_file import ImageFacts
from hypersdkd.host.open_source import OpenSource
from hypersdkd.host.promised_source import checksums_as_promised, require_others, require_size, told
from hypersdkd.host.source_disk import read_disk
from hypersdkd.model.disk import SourceDisk
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.problem import one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Loader

SOURCE_TYPES: Final = frozenset({"vmdk", "vhd", "vhdx", "raw", "qcow2", "vdi"})

#: Seconds for reading an image's tables: a fully allocated disk of 62 TiB takes 20.
_JUDGE_SECONDS: Final = 300.0


@hookimpl
def hypersdkd_loaders() -> Sequence[Loader]:
    """Disk images: each a file, or a VMDK of several."""
    return (Loader(SOURCE_TYPES, load),)


def load(context: StepContext, source: DiskSource) -> SourceDisk:
    """Judge one disk. The source is opened read-only; its fingerprint lets later stages notice a change."""
    with OpenSource(context.source_roots, seconds=_JUDGE_SECONDS) as opened:
        image = opened.open(source.source_path)
        require_size(source, image)
        facts, graph = read_disk(opened, source.source_type, trusted=source.trusted)
        opened.compare_with_qemu(graph, facts)
        digests = checksums_as_promised(
            source, opened, wanted=context.guest.checksums, on_progress=context.progress, check=context.check
        )
        require_others(source, opened.files[0], opened.theirs[1:], digests[1:], context.check)
        disk = opened.keep(graph, facts)
    if names := opened.unleased:
        more = f" and {len(names) - 1} more files" if len(names) > 1 else ""
        context.log(f"nobody can be kept from writing to {names[0]}{more}; a change is only noticed by its times")
    _tell(context, source, facts, disk, digests)
    if newer := newer_state.warning_of(disk.path):
        context.warn(newer)
    return disk


def _tell(
    context: StepContext, source: DiskSource, facts: ImageFacts, disk: SourceDisk, digests: Sequence[str]
) -> None:
    fact: dict[str, object] = {
        "path": one_line(source.source_path),
        "format": facts.format,
        "variant": facts.variant,
        "virtual_size": facts.virtual_size,
        "file_size": disk.file_size,
    }
    if digests:
        fact["checksum"] = digests[0]
    if len(disk.files) > 1:
        fact["files"] = told(disk.files, digests)
    context.finding("source", fact)
    for warning in facts.warnings:
        context.warn(warning)
