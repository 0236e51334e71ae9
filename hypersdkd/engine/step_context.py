"""The worker's side of the step port: what steps say becomes events."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import ARTIFACTS, WORK, WorkOrder, appliance_cache, temporary_output
from hypersdkd.engine.guest_session import GuestSession
from hypersdkd.engine.journal import JournalWriter
from hypersdkd.engine.names import NAME_MAX
from hypersdkd.engine.side_work import SideWork
from hypersdkd.host.files import write_replacing
from hypersdkd.host.guest_system import RecordedSystem
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.model.disk import OutputDisk, SourceDisk
from hypersdkd.model.event import VOLATILE_EVENTS, EventType
from hypersdkd.model.file_change import FileChange
from hypersdkd.model.guest import Guest, output_names
from hypersdkd.model.problem import Problem, fail, one_line
from hypersdkd.spec.ports import LentDisks

#: Least seconds between two progress events of a stage: four a second at most.
_PROGRESS_GAP: Final = 0.25


class GuestContext:
    """Implements ``spec.ports.StepContext`` for one attempt at one guest."""

    def __init__(self, directory: Path, order: WorkOrder, journal: JournalWriter) -> None:
        self._directory = directory
        self._order = order
        self._guest = order.guest
        self._journal = journal
        self._disks: list[SourceDisk] = []
        self._outputs: list[OutputDisk] = []
        self._documents: list[OutputDisk] = []
        self._findings: dict[str, object] = {}
        self._session = GuestSession(self.work, appliance_cache(order, self.work), self, order.guest.inspect)
        self.side_work = SideWork()
        self._fixer = ""
        self._stage = ""
        self._stage_started = 0.0
        self._last_progress = 0.0
        self._complete = False

    # -- what a step may see ----------------------------------------------------------------------

    @property
    def guest(self) -> Guest:
        """What is asked for."""
        return self._guest

    @property
    def work(self) -> Path:
        """This attempt's own directory."""
        return self._directory / WORK

    @property
    def source_roots(self) -> Sequence[Path]:
        """Directories below which sources may lie."""
        return tuple(Path(root) for root in self._order.source_roots)

    @property
    def disks(self) -> Sequence[SourceDisk]:
        """What LOAD opened."""
        return tuple(self._disks)

    @property
    def outputs(self) -> Sequence[OutputDisk]:
        """What CONVERT wrote."""
        return tuple(self._outputs)

    @property
    def system(self) -> RecordedSystem:
        """The guest's own system."""
        return self._session.system(self._disks)

    def change_disks(self, program: Callable[[LentDisks], None]) -> None:
        """Have a program of the host change the guest."""
        self._session.change_disks(self._disks, program)

    @property
    def findings(self) -> Mapping[str, object]:
        """What was found so far."""
        return dict(self._findings)

    def temporary_for(self, index: int) -> Path:
        """Where to write disk ``index``."""
        return temporary_output(self._directory, Path(self.guest.outputs[index]), index)

    # -- what a step may say ----------------------------------------------------------------------

    def add_output(self, output: OutputDisk) -> None:
        """Take over a finished disk."""
        self._outputs.append(output)

    def add_document(self, suffix: str, content: bytes) -> Path:
        """A small file that is published with the disks."""
        final = Path(self.guest.output_name or self.guest.outputs[0]).with_suffix(suffix)
        number = len(self._guest.outputs) + len(self._documents)
        temporary = temporary_output(self._directory, final, number)
        with OutputDirectory.open(final.parent, Path(self.guest.output_root)) as directory:
            identity = directory.write_new(temporary.name, content, beside=final.name)
        self._documents.append(OutputDisk(temporary, final, suffix.removeprefix("."), len(content), identity))
        return final

    def progress(self, done: int, total: int) -> None:
        """Say how far the stage is; most calls say nothing, for there are at most four events a second."""
        clock = time.monotonic()
        last = done >= total
        if (last and self._complete) or (not last and clock - self._last_progress < _PROGRESS_GAP):
            return
        self._last_progress, self._complete = clock, last
        elapsed = clock - self._stage_started
        rate = int(done / elapsed) if elapsed > 0 else 0
        self._emit(
            EventType.PROGRESS,
            percent=min(100, done * 100 // total) if total else 100,
            bytes_done=done,
            bytes_total=total,
            bytes_per_second=rate,
            eta_seconds=max(0, total - done) // rate if rate else None,
        )

    def finding(self, key: str, value: object) -> None:
        """A fact for the report."""
        self._findings[key] = value
        self._emit(EventType.FINDING, key=key, value=value)

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        """A check's result."""
        self._emit(EventType.CHECK, name=name, passed=passed, detail=detail)
        self.log(f"check {name}: {'passed' if passed else 'FAILED'}{': ' if detail else ''}{detail}")

    def warn(self, problem: Problem) -> None:
        """Something the operator should know."""
        self._emit(EventType.WARNING, **problem.as_dict())
        self.log(f"warning: {problem.message}")

    def attach(self, kind: str, name: str, content: bytes) -> None:
        """A file for whoever looks at the job."""
        if name in {"", ".", ".."} or "/" in name or "\0" in name:
            raise fail("name-invalid", f"{one_line(name)!r} is no file's name")
        directory = self._directory / ARTIFACTS
        directory.mkdir(exist_ok=True)
        write_replacing(directory / name, content)
        self.artifact(kind, directory / name, bytes=len(content))

    def changed(self, change: FileChange) -> None:
        """A file of the guest was changed."""
        self._emit(EventType.CHANGE, fixer=self._fixer, **change.as_dict())
        self.log(f"{self._fixer}: {change.action} {change.path}")

    def tool(self, name: str, version: str) -> None:
        """A program that took part."""
        self._emit(EventType.FINDING, key=f"tool.{name}", value=version, tool=name, version=version)

    def meanwhile(self, work: Callable[[], Callable[[], None]]) -> None:
        """Have it done beside the stages."""
        stage = self._stage

        def begun() -> Callable[[], None]:
            rest = work()
            return lambda: self._conclude(stage, rest)

        self.side_work.begin(stage, begun)

    def log(self, line: str) -> None:
        """One line of the guest's log, which is the worker's standard error."""
        with contextlib.suppress(OSError):  # a log on a full disk does not fail the guest
            stage = f" {self._stage}" if self._stage else ""  # none before the first
            sys.stderr.write(f"{time.strftime('%H:%M:%S')}{stage} {one_line(line)}\n")
            sys.stderr.flush()

    @property
    def documents(self) -> Sequence[OutputDisk]:
        """What is published with the disks; ``virtual_size`` is the size."""
        return tuple(self._documents)

    # -- what only the pipeline calls -------------------------------------------------------------

    def begin_stage(self, stage: str) -> None:
        """Events and times from now on are this stage's."""
        self._stage = stage
        self._stage_started = time.monotonic()
        self._last_progress, self._complete = 0.0, False
        self._emit(EventType.STAGE_STARTED)
        self.log("begins")

    def end_stage(self) -> None:
        """The stage is complete."""
        self._emit(EventType.STAGE_FINISHED)
        self.log(f"complete after {time.monotonic() - self._stage_started:.1f} s")

    def skip_stage(self, stage: str, reason: str) -> None:
        """The stage is not run."""
        self._stage = stage
        self._emit(EventType.STAGE_SKIPPED, reason=reason)
        self.log(f"skipped: {reason}")

    def add_disk(self, disk: SourceDisk) -> None:
        """LOAD opened a disk."""
        self._disks.append(disk)
        # what LOAD unpacked is no file of the user's, and gone when the guest is done
        files = [str(file.path) for file in disk.files if not file.path.is_relative_to(self.work)]
        facts: dict[str, object] = {} if len(files) == 1 else {"files": files}
        facts |= {"bytes": disk.file_size, "format": disk.format, "virtual_size": disk.virtual_size}
        self.artifact("input", disk.path, **facts)

    def settle_outputs(self) -> None:
        """All disks are there: name an output for each. The daemon could only plan one for each source.

        Raises ``image-invalid`` where there is no disk at all, ``name-invalid`` where a name becomes too long.
        """
        count = len(self._disks)
        if count == 0:
            raise fail("image-invalid", "the source has no disks")
        if count == len(self._guest.outputs):
            return
        names = output_names(self._guest.output_name, count, self._guest.output_format)
        if any(len(os.fsencode(Path(name).name)) > NAME_MAX for name in names):
            raise fail("name-invalid", f"the names of {count} outputs after {self._guest.output_name} are too long")
        self._guest = replace(self._guest, outputs=names)

    def prepare_system(self) -> None:
        """Make ready for the guest's system, before anything of a stranger's is looked at."""
        self._session.prepare()

    @property
    def system_problem(self) -> Problem | None:
        """Why the guest's system, which was asked for, is not there."""
        return self._session.problem

    def changed_by(self, name: str) -> None:
        """Changes of the guest from now on are this fixer's; with an empty name there must be none."""
        self._fixer = name
        self.system.writable = bool(name)

    def end_system(self) -> None:
        """End the appliance: the disks are from now on what FIX made of them. Raises ``appliance-failed``."""
        fixed = self._session.end()
        if fixed is not None:
            self._disks = list(fixed)

    def close_system(self) -> None:
        """End the appliance, if it still runs, without its changes."""
        self._session.close()

    def artifact(self, kind: str, path: Path, **facts: object) -> None:
        """A file that the guest read or left; ``kind`` is ``input``, ``output`` or a step's own word."""
        self._emit(EventType.ARTIFACT, kind=kind, path=str(path), **facts)

    def _conclude(self, stage: str, rest: Callable[[], None]) -> None:
        """What it says is said of the stage that began it."""
        now, self._stage = self._stage, stage
        try:
            rest()
        finally:
            self._stage = now

    def _emit(self, type_: EventType, **data: object) -> None:
        try:
            self._journal.append(type_, self._stage, data)
        except OSError:
            if type_ not in VOLATILE_EVENTS:
                raise  # a change of state must be on record; a number or a fact is not worth a conversion
