"""CONVERT: write each disk in the format that is asked for, by qemu-img, under a temporary name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host import qemu_img
from hypersdkd.host.image_vmdk import name_extent
from hypersdkd.host.landlock import obstacle
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.host.source_graph import opened
from hypersdkd.host.space import Reservation
from hypersdkd.model.disk import OutputDisk, SourceDisk
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Step

#: The time limit of a conversion: seconds at least, and seconds for each GiB of the virtual disk (17 MB/s).
LEAST_SECONDS: Final = 600.0
SECONDS_PER_GIB: Final = 60.0

#: Seconds without any progress, by percent or by blocks written, after which qemu-img is taken to hang.
STALL_SECONDS: Final = 300.0

#: Readable by the group that the administrator gives the directory to; guests' disks are nobody else's.
_MODE: Final = 0o640


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """The one step of CONVERT."""
    return (Step("convert-qemu-img", Stage.CONVERT, convert_disks),)


def convert_disks(context: StepContext) -> None:
    """Convert all disks, in boot order. Nothing of a failed conversion is left."""
    with ExitStack() as open_files:
        places = [open_files.enter_context(_place(context, Path(path))) for path in context.guest.outputs]
        for output in _convert_into(context, places, open_files):
            context.add_output(output)


def _convert_into(context: StepContext, places: Sequence[OutputDirectory], open_files: ExitStack) -> list[OutputDisk]:
    """Convert each disk into its place. ``open_files`` closes what is written, or removes it after an error."""
    context.tool(qemu_img.PROGRAM, qemu_img.version())
    if (unconfined := obstacle(qemu_img.PROGRAM)) is not None:
        context.warn(unconfined)
    plan = _plan(context, places[0])
    total = sum(disk.virtual_size for disk in context.disks)
    done = 0
    written: list[OutputDisk] = []
    for index, (disk, place) in enumerate(zip(context.disks, places, strict=True)):
        temporary, final = context.temporary_for(index), Path(context.guest.outputs[index])
        target = _Target(place, temporary.name, open_files.enter_context(_new_file(place, temporary.name)))
        with opened(disk) as source:
            _convert_one(context, disk, source, target, plan, (done, total))
        disk.release(context.disks[index + 1 :])
        if plan.format == "vmdk":
            name_extent(target.fd, final.name)
        os.fsync(target.fd)
        done += disk.virtual_size
        context.progress(done, total)
        found = os.fstat(target.fd)
        written.append(OutputDisk(temporary, final, plan.format, disk.virtual_size, (found.st_dev, found.st_ino)))
    return written


@dataclass(frozen=True, slots=True)
class _Target:
    """A file that is written: where, its temporary name, its descriptor."""

    place: OutputDirectory
    name: str
    fd: int


def _convert_one(
    context: StepContext,
    disk: SourceDisk,
    source: qemu_img.Source,
    target: _Target,
    plan: qemu_img.Conversion,
    progress: tuple[int, int],
) -> None:
    done, total = progress
    needed = qemu_img.measure(source, plan.format)
    with Reservation(target.place, target.name.lstrip("."), needed) as reservation:
        watchdog = _Watchdog(disk, target.fd, reservation)

        def on_percent(percent: float) -> None:
            watchdog.saw(percent)
            context.progress(done + int(disk.virtual_size * percent / 100), total)

        timeout = max(LEAST_SECONDS, SECONDS_PER_GIB * disk.virtual_size / (1 << 30))
        try:
            qemu_img.convert(source, plan, target.fd, timeout=timeout, on_percent=on_percent, watch=watchdog.look)
        except ProblemError as error:
            if error.problem.code == "no-space":
                raise _no_space(target.place, needed, error) from error
            raise


class _Watchdog:
    """Sees whether a conversion gets on and its source stays, and lets the reservation follow the output's growth."""

    def __init__(self, disk: SourceDisk, target_fd: int, reservation: Reservation) -> None:
        self._disk = disk
        self._target_fd = target_fd
        self._reservation = reservation
        self._state = (0.0, 0)
        self._since = time.monotonic()

    def saw(self, percent: float) -> None:
        """qemu-img has told how far it is."""
        self._change((percent, self._state[1]))

    def look(self) -> None:
        """Called often. Raises ``source-changed``; ``tool-timeout`` when nothing moved for :data:`STALL_SECONDS`."""
        for file in self._disk.files:
            if file.broken():
                raise fail("source-changed", f"somebody opened {file.path.name} for writing while it was read")
        written = os.fstat(self._target_fd).st_blocks * 512
        self._reservation.written(written)
        self._change((self._state[0], written))
        if time.monotonic() - self._since > STALL_SECONDS:
            raise fail("tool-timeout", f"qemu-img made no progress for {STALL_SECONDS:g} s")

    def _change(self, state: tuple[float, int]) -> None:
        if state != self._state:
            self._state = state
            self._since = time.monotonic()


def _plan(context: StepContext, place: OutputDirectory) -> qemu_img.Conversion:
    """How to write the format that is asked for."""
    output_format = context.guest.output_format
    direct = _direct_works(place)
    if not context.guest.compress:
        return qemu_img.Conversion(output_format, direct=direct)
    if output_format == "qcow2":
        options = ("compression_type=zstd",) if qemu_img.zstd_works(context.work) else ()
        return qemu_img.Conversion("qcow2", options, compress=True, direct=direct)
    if output_format == "vmdk":
        return qemu_img.Conversion("vmdk", ("subformat=streamOptimized",), direct=direct)
    context.warn(
        Problem(
            "manifest-unsupported",
            f"{output_format} images cannot be compressed; the output is not",
            remedy="Choose qcow2 or vmdk, or leave convert.compress out.",
        )
    )
    return qemu_img.Conversion(output_format, direct=direct)


def _place(context: StepContext, path: Path) -> OutputDirectory:
    """The output's directory, made if need be; raises ``output-exists``, ``-outside`` and ``-unwritable``."""
    directory = OutputDirectory.open(path.parent, Path(context.guest.output_root), make=True)
    try:
        if directory.identity(path.name) is not None:
            raise fail("output-exists", f"{path} exists already")
        directory.require_writable()
    except BaseException:
        directory.close()
        raise
    return directory


@contextmanager
def _new_file(place: OutputDirectory, name: str) -> Iterator[int]:
    """A new, empty file that nobody else made or planted; it is removed if anything goes wrong."""
    place.remove(name)
    try:
        fd = os.open(place.at(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    except OSError as error:
        raise fail("output-unwritable", f"{place.path} cannot be written: {error.strerror}") from error
    try:
        yield fd
    except BaseException:
        place.remove(name)
        raise
    finally:
        os.close(fd)


def _direct_works(place: OutputDirectory) -> bool:
    """Whether files here can be opened with O_DIRECT; a file without a name is tried, so that none is left."""
    try:
        os.close(os.open(place.here, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


def _no_space(place: OutputDirectory, needed: int, error: ProblemError) -> ProblemError:
    return fail(
        "no-space",
        f"{place.path} became full while the output was written: up to {needed} bytes are needed",
        detail=error.problem.message,
        remedy=f"Free {max(needed - place.free_bytes(), 1)} bytes there, then retry the job.",
    )
