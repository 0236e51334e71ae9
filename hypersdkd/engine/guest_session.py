"""The one appliance of a guest: launched when the guest's system is first asked for, ended before CONVERT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hypersdkd.host.appliance import Appliance, prepare
from hypersdkd.host.appliance_cache import ApplianceFiles
from hypersdkd.host.appliance_guest import ApplianceGuest
from hypersdkd.host.boot_record import may_boot
from hypersdkd.host.guest_inspection import inspect
from hypersdkd.host.guest_keys import read_keys
from hypersdkd.host.guest_software import former_tools, initramfs_tool, kernels, product, selinux
from hypersdkd.host.guest_system import RecordedSystem
from hypersdkd.host.overlay import make_overlay, overlaid
from hypersdkd.model.disk import SourceDisk
from hypersdkd.model.file_change import FileChange
from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.spec.ports import LentDisks


class Listener(Protocol):
    """Who hears what a session finds."""

    def warn(self, problem: Problem) -> None:
        """A warning."""

    def tool(self, name: str, version: str) -> None:
        """A program that took part."""

    def changed(self, change: FileChange) -> None:
        """A file of the guest was changed."""


class GuestSession:
    """``work`` is the attempt's own directory; ``cache`` where the appliance's files are kept between guests."""

    def __init__(self, work: Path, cache: Path, listener: Listener, wish: Mapping[str, object] | None) -> None:
        self._work = work
        self._cache = cache
        self._listener = listener
        self._wish = wish or {}
        self._disks: Sequence[SourceDisk] = ()
        self._overlays: list[Path] = []
        self._files: ApplianceFiles | None = None
        self._appliance: Appliance | None = None
        self._system: RecordedSystem | None = None
        self._changed_by_program = False
        self._problem: Problem | None = None

    @property
    def problem(self) -> Problem | None:
        """Why there is no system; ``None`` as long as there is one, or it was not asked for."""
        return self._problem

    def prepare(self) -> None:
        """Make the appliance's files if need be, before anything of a guest's is looked at. What is wrong with it
        is told when the system is asked for."""
        try:
            self._files = prepare(self._cache)
        except ProblemError as error:
            self._problem = error.problem

    def system(self, disks: Sequence[SourceDisk]) -> RecordedSystem:
        """The guest on these disks. Asked for again it is the same, or the same problem is raised."""
        if self._problem is not None:
            raise ProblemError(self._problem)
        if self._system is None:
            try:
                self._system = self._begin(disks)
            except ProblemError as error:
                self._problem = error.problem
                self.close()
                raise
        return self._system

    def end(self) -> Sequence[SourceDisk] | None:
        """End the appliance; the disks as they are now, with the overlays, or ``None`` if nothing was changed.

        Raises ``appliance-failed`` when what was written may not be all there.
        """
        if self._system is None:
            return None
        changed = self._end_appliance() or self._changed_by_program
        if not changed:
            return None
        return [overlaid(disk, overlay) for disk, overlay in zip(self._disks, self._overlays, strict=True)]

    def change_disks(self, disks: Sequence[SourceDisk], program: Callable[[LentDisks], None]) -> None:
        """End the appliance and have ``program`` change the overlays; where it raises they are of no use, and the
        disks stay as they are.

        Raises what :meth:`system` does, and ``program``.
        """
        self.system(disks)
        self._end_appliance()
        try:
            program(LentDisks(tuple(self._overlays), self._environment(), tuple(read_keys(self._wish))))
        except BaseException:
            self._changed_by_program = False
            raise
        self._changed_by_program = True

    def _environment(self) -> Mapping[str, str]:
        files = self._files or prepare(self._cache)
        settings = {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"} if files.kvm_obstacle else {}
        return {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_PATH": str(files.directory), **settings}

    def _end_appliance(self) -> bool:
        """Whether anything was changed through it."""
        if self._appliance is None or self._system is None:
            return False
        appliance, self._appliance = self._appliance, None
        appliance.shut_down()
        return bool(self._system.changes)

    def close(self) -> None:
        """End the appliance at once, whatever was written. Safe to call twice."""
        if self._appliance is not None:
            self._appliance.close()
            self._appliance = None

    def _begin(self, disks: Sequence[SourceDisk]) -> RecordedSystem:
        if not any(may_boot(disk) for disk in disks):
            raise fail("guest-no-system", "no disk has a boot record: nothing can boot from them")
        keys = read_keys(self._wish)
        self._disks = disks
        self._overlays = [make_overlay(disk, self._work, number) for number, disk in enumerate(disks)]
        self._appliance = Appliance.launch(self._overlays, self._work, self._files or prepare(self._cache))
        self._listener.tool("libguestfs", self._appliance.version)
        if self._appliance.slow:
            message = f"the guest is looked into without KVM, slowly: {self._appliance.slow}"
            self._listener.warn(Problem("appliance-slow", message))
        found = inspect(self._appliance.guestfs, keys)
        for warning in found.warnings:
            self._listener.warn(warning)
        files = ApplianceGuest(self._appliance, self._work)
        facts = _with_software(RecordedSystem(files, found.facts))
        return RecordedSystem(files, facts, self._listener.changed)


def _with_software(system: RecordedSystem) -> GuestFacts:
    """The facts with what is installed."""
    if system.facts.os_type != "linux":
        return system.facts
    return replace(
        system.facts,
        product=product(system) or system.facts.product,
        kernels=kernels(system),
        initramfs_tool=initramfs_tool(system),
        selinux=selinux(system),
        virtualization_tools=former_tools(system),
    )
