"""Ports: the small interfaces through which plugins see the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hypersdkd.model.disk import OutputDisk, SourceDisk
from hypersdkd.model.guest import Guest
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import QueueEntry, Receipt
from hypersdkd.spec.system import GuestSystem


@dataclass(frozen=True, slots=True)
class LentDisks:
    """The guest's disks, lent to a program that changes them: qcow2 files in boot order, over the sources.

    ``environment`` has the variables by which a program that uses libguestfs finds the appliance that is there, and
    ``keys`` the passphrases of encrypted devices.
    """

    overlays: tuple[Path, ...]
    environment: Mapping[str, str]
    keys: tuple[str, ...] = field(default=(), repr=False)


class StepContext(Protocol):
    """What a step or loader may see and say. It lives in the worker, for one guest and one attempt."""

    @property
    def guest(self) -> Guest:
        """What is asked for. ``guest.outputs`` are absolute final paths, one a disk."""

    @property
    def work(self) -> Path:
        """An empty directory of this attempt's own, removed when the guest has ended."""

    @property
    def source_roots(self) -> Sequence[Path]:
        """Directories below which sources may lie; already resolved."""

    @property
    def disks(self) -> Sequence[SourceDisk]:
        """What LOAD opened, in boot order; empty before that."""

    @property
    def outputs(self) -> Sequence[OutputDisk]:
        """What CONVERT wrote, in boot order; empty before that."""

    @property
    def system(self) -> GuestSystem:
        """The guest's own system, in an appliance that is launched when it is first asked for and ended after FIX.

        Not to be asked for after that. Raises ``appliance-missing -failed -timeout``, ``guest-no-system -encrypted
        -hibernated -damaged``, the same each time.
        """

    def change_disks(self, program: Callable[[LentDisks], None]) -> None:
        """Have a program of the host change the guest, in FIX. The appliance is ended first: of ``system`` only the
        facts are left. Where ``program`` raises, the disks are as if it had never run. Raises what ``system`` does.
        """

    @property
    def findings(self) -> Mapping[str, object]:
        """What was found so far, by its key."""

    def add_output(self, output: OutputDisk) -> None:
        """CONVERT hands over a finished disk under its temporary name."""

    def add_document(self, suffix: str, content: bytes) -> Path:
        """Have a small file published with the disks, all or none, beside them and named after them, with this suffix;
        where it will be. It is an artifact of the kind ``document``.

        Raises ``output-exists`` and ``output-unwritable``; the guest can go on without it.
        """

    def temporary_for(self, index: int) -> Path:
        """Where to write disk ``index``: a hidden name beside its final path, the same in each attempt."""

    def progress(self, done: int, total: int) -> None:
        """Bytes done of bytes in all for this stage; rate, percent and ETA are worked out from it."""

    def finding(self, key: str, value: object) -> None:
        """A fact about the guest or its source (a JSON value), for the report."""

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        """The result of a check that was made. It does not fail the guest by itself."""

    def warn(self, problem: Problem) -> None:
        """Something that the operator should know and that does not fail the guest."""

    def attach(self, kind: str, name: str, content: bytes) -> None:
        """Leave a file for whoever looks at the job: a screenshot, a console's log; 16 MiB at most. It is an artifact
        of ``kind``, kept as long as the guest's journal, and sent by the API. A file of that ``name`` is replaced."""

    def tool(self, name: str, version: str) -> None:
        """A program that took part, for the report's ``tools``."""

    def meanwhile(self, work: Callable[[], Callable[[], None]]) -> None:
        """Have ``work`` done by a thread, beside the stages that follow: reading that takes long and that only the
        publication depends on. It may use nothing that others do, this context included; what it returns is called
        after the last stage, in order, and may. What either raises fails the guest, and rather than what a stage
        raised meanwhile."""

    def log(self, line: str) -> None:
        """One line for the guest's log; control characters are escaped."""


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker ended: its exit status, negative for a signal, ``None`` if not known.

    ``interrupted``: it was stopped from outside (the host went down), which is not held against its guest.
    ``problem``: why it was ended, where trying again would only end in the same way; its guest fails with it.
    """

    status: int | None = None
    interrupted: bool = False
    problem: Problem | None = None


class WorkerHandle(Protocol):
    """A running worker, wherever it is."""

    @property
    def trouble(self) -> str:
        """Why it is being ended by its executor, for people, as long as that takes; else empty."""

    async def wait(self) -> WorkerEnd:
        """Returns once the worker *and all that it started* are gone. May be cancelled: the worker goes on."""

    async def kill(self) -> None:
        """End all of it, now; returns when nothing is left. Safe to call twice."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """What the core knows of itself when a status is asked for. Bytes, whole seconds, counts."""

    mode: str
    mode_reason: str
    version: str
    base_dir: str
    pending: int
    processing: int
    processed_today: int
    failed_today: int
    cancelled_today: int
    waiting: int
    max_workers: int
    workers_running: int
    uptime_seconds: int
    paused: bool
    draining: bool
    executor: str
    free_bytes: int
    eta_seconds: int | None
    last_error: str
    config: Mapping[str, object] = field(default_factory=dict)
    plugins: Sequence[Mapping[str, object]] = field(default=())
    missing_directories: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True)
class Counts:
    """What the core counts, at the moment when a plugin's endpoint is asked. What only grows does so from the start
    of the daemon; ``jobs`` and ``workers_running`` are as they are now.

    ``jobs`` is by state, of all dates. ``rescans`` are whole looks at a directory, by reason. ``requests`` are
    replies of the API by route (as in its documents), method and HTTP status. ``plugin_errors`` is by plugin.
    """

    version: str
    jobs: Mapping[str, int]
    workers_running: int
    max_workers: int
    rescans: Mapping[str, int]
    requests: Mapping[tuple[str, str, int], int]
    plugin_errors: Mapping[str, int]


class QueueView(Protocol):
    """The drop directory as the intake last judged it, and the counts of the index."""

    def entries(self) -> Sequence[tuple[QueueEntry, str]]:
        """Each file with its verdict: ``ready``, ``waiting``, ``ignored`` or ``foreign``; in claim order."""

    def counts(self) -> Mapping[str, int]:
        """Jobs in ``to_be_processed processing processed failed``, and ``cancelled`` (the last three: today)."""


class DropDirectory(Protocol):
    """The one door into the queue."""

    def put(self, name: str, content: bytes) -> Receipt:
        """Make ``content`` appear at once, whole and durable, as ``name``; it never replaces a file.

        Raises ``FileExistsError`` when the name is taken (by any job of any state), ``ProblemError`` when
        the name cannot be a file name or the queue cannot be written.
        """
