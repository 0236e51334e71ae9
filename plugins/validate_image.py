"""VALIDATE: never success on an output that is empty, unreadable, damaged or of another size than the source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from hypersdkd.host import qemu_img
from hypersdkd.host.checksum import sha256_of
from hypersdkd.host.image_file import SECTOR, ImageFile
from hypersdkd.host.image_header import judge
from hypersdkd.host.output_directory import opened_output
from hypersdkd.host.source_graph import opened
from hypersdkd.model.disk import OutputDisk, SourceDisk
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Step

#: The time limit of a comparison: seconds at least, and for each GiB of the virtual disk.
_LEAST_SECONDS: Final = 600.0
_SECONDS_PER_GIB: Final = 60.0


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """The first step of VALIDATE: the file itself, before anything looks into the guest."""
    return (Step("validate-image", Stage.VALIDATE, validate_outputs, order=10),)


def validate_outputs(context: StepContext) -> None:
    """Check each output. Raises ``output-invalid`` at the first check that fails."""
    whole = (context.guest.validate or {}).get("enabled") is not False
    if not whole:  # it cannot be switched off altogether, and the report shall not look as if all had been checked
        context.finding("validation", "the least checks only: the manifest has validate.enabled: false")
    total = sum(disk.virtual_size for disk in context.disks)
    done = 0
    if not context.outputs or len(context.outputs) != len(context.disks):
        raise fail("output-invalid", f"{len(context.disks)} disks were read, but {len(context.outputs)} written")
    for disk, output in zip(context.disks, context.outputs, strict=True):
        _check_least(context, disk, output)
        if whole:
            _check_structure(context, output)
            if context.guest.compare:
                _compare(context, disk, output, (done, total))
        if context.guest.checksums:
            context.finding(
                "output-checksum", {"path": one_line(str(output.path)), "checksum": _digest(context, output)}
            )
        done += disk.virtual_size
        context.progress(done, total)


def _opened(context: StepContext, output: OutputDisk) -> AbstractContextManager[ImageFile]:
    return opened_output(output, Path(context.guest.output_root))


def _check_least(context: StepContext, disk: SourceDisk, output: OutputDisk) -> None:
    """What is never left out: there is a file, it is of the format, qemu opens it, the size is the source's."""
    name = one_line(output.path.name)
    try:
        with _opened(context, output) as image:
            os.fsync(image.fd)
            _result(context, "output-not-empty", image.size > 0, f"{name}: {image.size} bytes")
            facts = judge(image, output.format, trusted=True)
            found = qemu_img.info(qemu_img.Source.of_fd(image.fd, output.format))
    except OSError as error:
        raise fail("output-invalid", f"{name} cannot be read back: {error.strerror}") from error
    except ProblemError as error:
        if error.problem.code.startswith("output-") or error.problem.code in {"tool-missing", "tool-timeout"}:
            raise
        context.check("output-readable", False, error.problem.message)
        raise fail("output-invalid", error.problem.message, detail=error.problem.detail) from error
    same_format = facts.format == found.format == output.format and not found.names_others
    _result(context, "output-readable", same_format, f"{name}: {found.format}")
    expected = -(-disk.virtual_size // SECTOR) * SECTOR
    sizes = {facts.virtual_size, found.virtual_size}
    _result(context, "virtual-size", sizes == {expected}, f"{name}: {found.virtual_size} bytes, source {expected}")


def _check_structure(context: StepContext, output: OutputDisk) -> None:
    name = one_line(output.path.name)
    with _opened(context, output) as image:
        result = qemu_img.check(qemu_img.Source.of_fd(image.fd, output.format))
    if not result.supported:
        return
    _result(context, "structure", result.errors == 0, f"{name}: {result.errors} errors", detail=result.detail)
    if result.leaks:
        context.warn(Problem("image-unclean", f"{name} has {result.leaks} clusters that nothing uses"))


def _compare(context: StepContext, disk: SourceDisk, output: OutputDisk, progress: tuple[int, int]) -> None:
    """Read source and output whole and compare them byte by byte."""
    done, total = progress
    timeout = max(_LEAST_SECONDS, _SECONDS_PER_GIB * disk.virtual_size / (1 << 30))

    def on_percent(percent: float) -> None:
        context.progress(done + int(disk.virtual_size * percent / 100), total)

    with opened(disk) as source, _opened(context, output) as image:
        difference = qemu_img.compare(
            source,
            qemu_img.Source.of_fd(image.fd, output.format),
            timeout=timeout,
            on_percent=on_percent,
        )
    _result(context, "same-content", not difference, f"{one_line(output.path.name)}: {difference or 'identical'}")


def _result(context: StepContext, name: str, passed: bool, text: str, *, detail: str = "") -> None:
    """Record a check; raises ``output-invalid`` if it was not passed."""
    context.check(name, passed, text)
    if not passed:
        raise fail("output-invalid", f"the check {name} was not passed: {text}", detail=detail)


def _digest(context: StepContext, output: OutputDisk) -> str:
    with _opened(context, output) as image:
        return sha256_of(image.fd, image.name)
