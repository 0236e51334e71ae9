"""The daemon's services as the web floor calls them; ``engine.workflow`` implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from hypersdkd.model.change import Change
from hypersdkd.model.manifest_draft import ManifestWish
from hypersdkd.model.replies import (
    Artifact,
    ArtifactContent,
    EventPage,
    JobDetail,
    JobPage,
    JobQuery,
    QueueInspection,
    Receipt,
    Validation,
)
from hypersdkd.spec.types import Endpoint, Request, Response


class Listening(Protocol):
    """One who listens; a context manager."""

    async def next(self) -> Change | None:
        """The next change; ``None`` at the end. May be cancelled and called again."""

    def when_cut_off(self, hang_up: Callable[[], None]) -> None:
        """Call ``hang_up`` when nothing more will come, even while nobody waits in :meth:`next`."""

    def __enter__(self) -> Self:
        """Listen."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""


class Workflow(Protocol):
    """What can be asked of a running daemon. Failures are ``ProblemError``s."""

    async def status(self) -> Mapping[str, object]:
        """The status reply, plugins' fields included."""

    async def jobs(self, query: JobQuery) -> JobPage:
        """A page of jobs, newest first within a state; pending in claim order."""

    async def job(self, job_id: str) -> JobDetail:
        """One job; ``job-unknown`` if there is none."""

    async def events(self, job_id: str, limit: int = 1000, cursor: str = "") -> EventPage:
        """A page of the events of all guests of a job, in order of time; of progress in a row only the last."""

    async def log(self, job_id: str, lines: int) -> Sequence[str]:
        """The last lines of a job's log."""

    async def report(self, job_id: str) -> Mapping[str, object]:
        """The report (or error sidecar) of an ended job, or the fold so far of a running one."""

    async def artifacts(self, job_id: str) -> Sequence[Artifact]:
        """What the guests of a job read and left; none where it has no record yet or any more."""

    async def artifact(self, job_id: str, number: int) -> ArtifactContent:
        """One of them, if it is to be sent. Raises ``artifact-unknown`` and ``artifact-unavailable``."""

    async def validate(self, text: bytes, syntax: str = "") -> Validation:
        """Judge a manifest by every plugin's rules; a daemon in disk mode judges job configs as well."""

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        """Validate and put into the queue. ``ManifestInvalidError`` carries the validation.

        ``default_name`` becomes the manifest's ``name`` where it has none, and a job config's file is called so.
        """

    async def generate(self, wish: ManifestWish) -> Mapping[str, object]:
        """A complete manifest for a source below the allowed roots, which is looked at. Raises what LOAD refuses it
        with, and ``request-busy``."""

    def revision(self, query: JobQuery) -> str:
        """Letters and digits that change whenever the page of ``query`` may have changed; empty while it always may."""

    async def cancel(self, job_id: str) -> None:
        """Ask for a job's end; it is ``cancelled`` once nothing of it runs any more."""

    async def retry(self, job_id: str) -> None:
        """Put a failed or cancelled job back to pending."""

    async def pause(self) -> None:
        """Claim nothing more and start no further guest; what runs goes on. Survives a restart."""

    async def resume(self) -> None:
        """Undo :meth:`pause`."""

    async def queue(self, limit: int = 1000) -> QueueInspection:
        """The drop directory, with reasons."""

    def listen(self, last_id: str = "") -> Listening:
        """Hear of every change after ``last_id``; first a ``reset`` when some before it are not known (any more)."""

    def ready(self) -> str:
        """Empty when the daemon takes work; else why not."""


class PluginEndpoints(Protocol):
    """The addresses that plugins have declared; they may become others when plugins are read again."""

    def all(self) -> Sequence[Endpoint]:
        """Each of them, by its path."""

    async def answer(
        self, endpoint: Endpoint, request: Request, requests: Mapping[tuple[str, str, int], int]
    ) -> Response:
        """What the plugin replies; ``requests`` are the replies of the API so far, for ``Counts``.

        Raises the ``ProblemError`` of the plugin, and ``plugin-failed`` when it fails in any other way or is stuck.
        """
