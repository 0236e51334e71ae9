"""Declarations: what a plugin's hooks return. Frozen, so that a plugin cannot change another's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypersdkd.model.change import Change
from hypersdkd.model.disk import SourceDisk
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.stage import Stage
from hypersdkd.spec.ports import Counts, StepContext, WorkerHandle


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads sources of some types. ``load`` runs in the worker.

    It opens read-only, never writes to the source, and raises ``ProblemError`` for anything unsafe. A source that
    holds several disks (an appliance) gives them in boot order; facts about the guest go to ``context.finding``.
    """

    source_types: frozenset[str]
    load: Callable[[StepContext, DiskSource], SourceDisk | Sequence[SourceDisk]]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a stage. ``run`` is a plain function in the worker; ``order`` sorts within the stage.

    ``run`` raises ``ProblemError`` to fail the guest; anything else it raises is reported as
    ``step-failed`` with the plugin's name. It is called again from the start after a crash, so it must
    not depend on what an earlier attempt left in ``context.work``. Where ``wanted`` says no the step is left out; a
    stage of which none is wanted is skipped. ``require`` is called before the first stage, for a guest that wants the
    step; it raises ``ProblemError`` where the host lacks what the step needs, so that nobody waits hours to hear of it.
    """

    name: str
    stage: Stage
    run: Callable[[StepContext], None]
    order: int = 100
    wanted: Callable[[Guest], bool] = lambda _guest: True
    require: Callable[[Guest], None] = lambda _guest: None


@dataclass(frozen=True, slots=True)
class GuestRun:
    """What an executor gets: a command that converts one guest, and how to find all that it started.

    ``command`` must run as a session leader with ``marker`` (``NAME=value``) in its environment and its
    output appended to ``log``. The worker locks ``lock`` while it lives and writes who it is to ``stamp``
    (``host.sessions.read_stamp``).
    """

    job_id: str
    vm: str
    directory: Path
    command: tuple[str, ...]
    marker: str
    log: Path
    lock: Path
    stamp: Path


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs ``python -m hypersdkd.worker DIRECTORY`` somewhere. Both callables run in the daemon's loop.

    ``start`` begins a run. It raises ``ProblemError`` where the guest cannot be run there, with ``retry_after`` where
    that may pass. ``adopt`` finds a worker that a former daemon left behind, or one that has ended since and of which
    it is known how; it returns ``None`` when nothing of it is alive any more. ``outlives``: a daemon that ends leaves
    its workers to the next one. ``obstacle`` says why no worker could be had at the moment, for people, and nothing
    where one could; it is asked, in any thread, before the work begins and when the configuration is checked.
    """

    name: str
    start: Callable[[GuestRun], Coroutine[Any, Any, WorkerHandle]]
    adopt: Callable[[GuestRun], Coroutine[Any, Any, WorkerHandle | None]]
    outlives: bool = False
    obstacle: Callable[[], str] = lambda: ""


@dataclass(frozen=True, slots=True)
class Submission:
    """A manifest on its way into the queue.

    ``text`` is what was sent, ``document`` its parsed object, ``name`` the manifest's own name (may be
    empty, hostile, anything).
    """

    text: bytes
    document: dict[str, object]
    name: str


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Hears of every change in the daemon: the same as live listeners of the API do, from its start on.

    ``hear`` is called in the plugin's own thread with all that has come since it last returned, the oldest first.
    A ``reset`` among them says that changes before it are lost: it was too slow for too long.
    """

    name: str
    hear: Callable[[Sequence[Change]], None]


@dataclass(frozen=True, slots=True)
class Request:
    """A GET of a plugin's endpoint. ``headers`` has lower-case names; of what is given twice the first counts."""

    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """The reply of a plugin's endpoint. ``content_type`` is the whole header, perhaps with a charset."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of the API that answers a GET; whoever may read may ask.

    ``path`` is below ``/api/plugins/NAME/``, NAME being the plugin's, or one of ``WELL_KNOWN_PATHS``. ``answer`` is
    called in the plugin's own thread; a ``ProblemError`` of it is the reply.
    """

    path: str
    summary: str
    answer: Callable[[Request, Counts], Response]
    media_types: tuple[str, ...] = ("application/json",)


#: Addresses that programs elsewhere expect, and that a plugin may therefore have: Prometheus' default one.
WELL_KNOWN_PATHS: Final = frozenset({"/metrics"})
