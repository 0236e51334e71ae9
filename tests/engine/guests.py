"""A guest's directory for tests, and plugins in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypersdkd.engine.guest_files import WorkOrder
from hypersdkd.engine.journal import JournalWriter, read_journal
from hypersdkd.model.disk import OutputDisk, SourceDisk, SourceFile
from hypersdkd.model.event import EventType
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.report import GuestFold, fold
from hypersdkd.model.stage import Stage
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.system import Fixer, GuestCheck
from hypersdkd.spec.types import Loader, Step


def load(_context: StepContext, disk: DiskSource) -> SourceDisk:
    """A loader that takes everything."""
    return SourceDisk.of_file(SourceFile(Path(disk.source_path)), "raw", 4, 4)


def convert(context: StepContext) -> None:
    """A step that writes each output."""
    for index, final in enumerate(context.guest.outputs):
        context.temporary_for(index).write_text(f"disk {index}")
        context.add_output(OutputDisk(context.temporary_for(index), Path(final), "qcow2", 4))


@dataclass
class FewPlugins:
    """What the pipeline sees of plugins."""

    steps: Sequence[tuple[str, Step]] = field(default=())
    fixers: Sequence[tuple[str, Fixer]] = ()
    guest_checks: Sequence[tuple[str, GuestCheck]] = ()
    loaders: Sequence[Loader] = (Loader(frozenset({"raw"}), load),)


def steps(
    converting: Callable[[StepContext], None] = convert,
    validating: Callable[[StepContext], None] = lambda _context: None,
    *more: Step,
) -> FewPlugins:
    """CONVERT, VALIDATE and more."""
    named = [Step("convert", Stage.CONVERT, converting), Step("validate", Stage.VALIDATE, validating), *more]
    return FewPlugins([("mine", step) for step in named])


def make_guest(tmp_path: Path, disks: int = 1, **fields: object) -> tuple[Path, WorkOrder]:
    """A planned guest below ``tmp_path``: its directory and order, with ``disks`` outputs."""
    directory, output = tmp_path / "guest", tmp_path / "output"
    directory.mkdir()
    output.mkdir()
    guest = Guest(
        name="web01",
        disks=tuple(DiskSource("raw", f"/in/{number}") for number in range(disks)),
        outputs=tuple(str(output / f"web01-{number}.qcow2") for number in range(disks)),
        output_root=str(output),
        output_name=str(output / "web01.qcow2"),
        **fields,  # type: ignore[arg-type]
    )
    order = WorkOrder("web01.json", guest, (str(tmp_path),))
    order.write(directory)
    with JournalWriter(directory, guest.name) as journal:
        journal.append(EventType.CLAIMED)
    return directory, order


def types(directory: Path) -> list[str]:
    """The types of a guest's events."""
    return [event.type.value for event in read_journal(directory)]


def folded(directory: Path) -> GuestFold:
    """How a guest fares by its journal."""
    return fold(read_journal(directory))


def left(tmp_path: Path) -> list[str]:
    """What lies in the outputs' directory."""
    return sorted(path.name for path in (tmp_path / "output").iterdir())
