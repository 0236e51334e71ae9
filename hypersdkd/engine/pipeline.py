"""One guest through the five stages, in its worker: synchronous, and every outcome ends in the journal."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypersdkd.engine.fixing import fix_guest
from hypersdkd.engine.guest_files import WorkOrder, fresh_work, remove_temporaries, remove_work
from hypersdkd.engine.imports_ahead import import_ahead
from hypersdkd.engine.journal import JournalWriter, read_journal
from hypersdkd.engine.plugins import Plugins
from hypersdkd.engine.publication import Placement, publish, recorded
from hypersdkd.engine.step_context import GuestContext
from hypersdkd.host.boot_record import may_boot
from hypersdkd.host.output_directory import opened_output
from hypersdkd.model.disk import OutputDisk, SourceDisk
from hypersdkd.model.event import EventType
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.guest_space import space_problem
from hypersdkd.model.guest_wishes import ENGINES, fix_wanted, inspect_asked, inspect_wanted, virt_v2v_wanted
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.report import fold
from hypersdkd.model.stage import Stage
from hypersdkd.spec.types import Loader, Step

#: What a dry run leaves out.
_WRITING: Final = frozenset({Stage.CONVERT, Stage.VALIDATE})


class Pipeline:
    """One attempt at one guest. ``directory`` is the guest's, under its lock.

    ``narrow`` is called before anything of a stranger's is looked at; it confines the process, or says what it cannot.
    """

    def __init__(
        self,
        directory: Path,
        order: WorkOrder,
        plugins: Plugins,
        journal: JournalWriter,
        narrow: Callable[[], Problem | None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._order = order
        self._plugins = plugins
        self._journal = journal
        self._narrow = narrow
        self._context = GuestContext(directory, order, journal)
        self._stage = Stage.LOAD

    def run(self) -> bool:
        """Convert the guest; true when it is finished, false when it failed. Never raises but for ``OSError``
        of the journal itself."""
        earlier = recorded(fold(read_journal(self._directory)).publishing, self._order.guest)
        try:
            if not earlier:
                self._journal.append(EventType.STARTED)
            import_ahead()
            fresh_work(self._directory)
            if inspect_wanted(self._order.guest) and not earlier:
                self._context.log("the appliance is made ready; the first time, for all guests, that takes a while")
                self._context.prepare_system()
            unconfined = self._narrow()
            if earlier:
                self._journal.append(EventType.RECOVERED, "", {"reason": "published"})
                publish(earlier)
            else:
                self._attempt(unconfined)
        except ProblemError as error:
            self._give_up(error.problem)
            return False
        except Exception as error:
            detail = traceback.format_exc()
            self._give_up(Problem("step-failed", f"{type(error).__name__}: {error}", detail))
            return False
        finally:
            self._context.close_system()
        remove_work(self._directory)
        self._journal.append(EventType.FINISHED)
        return True

    def _give_up(self, problem: Problem) -> None:
        self._clear_outputs()
        remove_work(self._directory)
        for line in (f"failed: {problem.code}: {problem.message}", *problem.detail.splitlines()):
            self._context.log(line)
        stage = self._context.side_work.failed or self._stage.value
        self._journal.append(EventType.FAILED, stage, {"problem": problem.as_dict()})

    def _clear_outputs(self) -> None:
        for left in remove_temporaries(self._directory, [Path(path) for path in self._order.guest.outputs]):
            self._context.warn(left)

    def _attempt(self, unconfined: Problem | None) -> None:
        self._require_steps()
        self._clear_outputs()
        if unconfined is not None:
            self._context.warn(unconfined)
        for warning in self._order.guest.warnings:
            self._context.warn(Problem.from_dict(warning))
        with self._context.side_work:
            for stage in Stage:
                self._stage = stage
                self._run_stage(stage)
        if self._order.guest.dry_run:
            self._context.finding("dry_run", {"outputs": list(self._context.guest.outputs)})
        else:
            self._publish()

    def _require_steps(self) -> None:
        """What would fail for want of a plugin or a program is to do so before the work, not after it."""
        there = {step.stage for _plugin, step in self._plugins.steps}
        for stage in (Stage.CONVERT, Stage.VALIDATE):
            if stage not in there:
                raise fail("plugin-failed", f"no plugin is loaded for {stage.value}", remedy="Enable the plugin again.")
        for _plugin, step in self._plugins.steps:
            if step.wanted(self._order.guest) and not (self._order.guest.dry_run and step.stage in _WRITING):
                step.require(self._order.guest)

    def _run_stage(self, stage: Stage) -> None:
        declared = [(plugin, step) for plugin, step in self._plugins.steps if step.stage is stage]
        if stage is Stage.FIX and self._plugins.fixers:
            declared.append(("", Step("fixers", Stage.FIX, lambda _context: self._fix(), wanted=fix_wanted)))
        steps = [(plugin, step) for plugin, step in declared if step.wanted(self._order.guest)]
        if reason := self._reason_to_skip(stage, bool(declared), bool(steps)):
            self._context.skip_stage(stage.value, reason)
            return
        self._context.begin_stage(stage.value)
        if stage is Stage.LOAD:
            self._load_disks()
            if self._order.guest.dry_run and not inspect_wanted(self._order.guest):
                self._context.finding("bootable", any(map(may_boot, self._context.disks)))
        for plugin, step in steps:
            try:
                step.run(self._context)
            except ProblemError:
                raise
            except (Exception, SystemExit) as error:  # one that means to end the program ends its guest
                message = f"plugin {plugin}, step {step.name}: {type(error).__name__}: {error}"
                raise fail("step-failed", message, detail=traceback.format_exc()) from error
        self._context.end_stage()
        if stage is Stage.FIX:
            self._context.end_system()

    def _load_disks(self) -> None:
        """Each loader finds out things of its own ``source``: of several the report has all."""
        told = []
        for disk in self._order.guest.disks:
            found = self._loader(disk).load(self._context, disk)
            for part in (found,) if isinstance(found, SourceDisk) else found:
                self._context.add_disk(part)
            told.append(self._context.findings.get("source"))
        if len(told) > 1:
            self._context.finding("sources", told)
        self._context.settle_outputs()

    def _reason_to_skip(self, stage: Stage, declared: bool, wanted: bool) -> str:
        """Why a stage is left out; empty if it is not."""
        guest = self._order.guest
        if guest.dry_run and stage in _WRITING:
            return "dry run"
        if stage not in {Stage.INSPECT, Stage.FIX}:
            return ""
        if not declared:
            if (inspect_asked if stage is Stage.INSPECT else fix_wanted)(guest):
                self._context.warn(_not_done(stage))
            return "no plugin"
        if not wanted:
            return "not asked for"
        problem = self._context.system_problem
        return problem.message if stage is Stage.FIX and problem is not None and guest.fix_if_possible else ""

    def _fix(self) -> None:
        """What is wrong with a guest that nobody asked to fix has been told by INSPECT; it is converted as it is."""
        guest = self._context.guest
        by_virt_v2v = False
        try:
            facts = self._context.system.facts
            by_virt_v2v = virt_v2v_wanted(guest, facts.os_type)
            lack = self._not_virt_v2v() if by_virt_v2v else space_problem(facts)
        except ProblemError as error:
            lack = error.problem
        if lack is None:
            if not by_virt_v2v:  # else its own step has done it
                fix_guest(self._context, self._plugins.fixers, self._plugins.guest_checks)
        elif guest.fix_if_possible:
            self._context.log(f"nothing is fixed: {lack.message}")
        else:
            raise ProblemError(lack)

    def _not_virt_v2v(self) -> Problem | None:
        """Why the guest was not left to virt-v2v; ``None`` if it was."""
        if any(step.name == ENGINES[1] for _plugin, step in self._plugins.steps):
            return None
        message = f"the guest is to be fixed by {ENGINES[1]}, and no plugin for it is loaded"
        return Problem("plugin-failed", message, remedy="Enable the plugin again, or leave FIX out.")

    def _loader(self, disk: DiskSource) -> Loader:
        for loader in self._plugins.loaders:
            if disk.source_type in loader.source_types:
                return loader
        known = ", ".join(sorted({name for loader in self._plugins.loaders for name in loader.source_types}))
        raise fail(
            "source-type-unknown",
            f"no loaded plugin reads source type {disk.source_type!r}",
            remedy=f"Convert the source first, or install a plugin; read here: {known}.",
        )

    def _publish(self) -> None:
        outputs = self._context.outputs
        if len(outputs) != len(self._context.guest.outputs):
            raise fail("output-invalid", f"{len(outputs)} of {len(self._context.guest.outputs)} disks were written")
        root = Path(self._order.guest.output_root)
        documents = self._context.documents
        placements = [Placement.of(output, root) for output in (*outputs, *documents)]
        for output in outputs:
            self._context.artifact("output", output.path, **_facts(output, root))
        for document in documents:
            self._context.artifact("document", document.path, bytes=document.virtual_size)
        self._journal.append(EventType.PUBLISHING, "", {"outputs": [place.as_dict() for place in placements]})
        publish(placements)


def _facts(output: OutputDisk, root: Path) -> dict[str, object]:
    with opened_output(output, root) as image:
        found = os.fstat(image.fd)
    return {
        "format": output.format,
        "virtual_size": output.virtual_size,
        "bytes": found.st_size,
        "allocated_bytes": found.st_blocks * 512,
    }


def _not_done(stage: Stage) -> Problem:
    return Problem(
        "manifest-unsupported",
        f"{stage.value.upper()} was asked for and did not run: no plugin provides it",
        remedy=f"Check that the guest boots, or install a plugin for {stage.value.upper()}.",
        path=f"pipeline.{stage.value}",
    )
