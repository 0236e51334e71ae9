"""A workflow in memory: answers what it was told to, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypersdkd.engine.broadcast import Broadcast, Listener
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.job import GuestProgress, JobState, JobSummary
from hypersdkd.model.manifest_draft import ManifestDraft, ManifestWish
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import (
    Artifact,
    ArtifactContent,
    EventPage,
    JobDetail,
    JobPage,
    JobQuery,
    ManifestInvalidError,
    QueueEntry,
    QueueInspection,
    Receipt,
    Validation,
)

STARTED = "2026-01-02T03:04:05.678Z"

RUNNING = JobSummary(
    "web01.json",
    JobState.PROCESSING,
    stage="convert",
    progress=42,
    started_at=STARTED,
    elapsed_seconds=7,
    guests=(GuestProgress("web01", JobState.PROCESSING, "convert", 42, 420, 1000, 60, 10),),
)
FAILED = JobSummary("bad.json", JobState.FAILED, started_at=STARTED, finished_at=STARTED, date="2026-01-02")
HOSTILE = JobSummary("a\nb {x} ünï.json", JobState.PENDING)


class FakeWorkflow:
    """See ``hypersdkd.spec.service.Workflow``."""

    def __init__(self) -> None:
        self.rows = [RUNNING, FAILED, HOSTILE]
        self.calls: list[tuple[object, ...]] = []
        self.validation = Validation(document={"version": "1.0"})
        self.error: Exception | None = None
        self.not_ready = ""
        self.version = ""
        self.broadcast = Broadcast()

    def _called(self, *call: object) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    async def status(self) -> Mapping[str, object]:
        self._called("status")
        return {
            "mode": "manifest",
            "running": True,
            "queue_depth": 1,
            "active_jobs": 1,
            "processed_today": 0,
            "failed_today": 1,
            "max_workers": 3,
            "uptime_seconds": 60,
        }

    async def jobs(self, query: JobQuery) -> JobPage:
        self._called("jobs", query)
        rows = [row for row in self.rows if not query.states or row.status in query.states]
        return JobPage(tuple(rows[: query.limit]), len(rows), "next" if len(rows) > query.limit else "")

    def _row(self, job_id: str) -> JobSummary:
        for row in self.rows:
            if row.id == job_id:
                return row
        raise fail("job-unknown", "There is no such job.")

    async def job(self, job_id: str) -> JobDetail:
        self._called("job", job_id)
        return JobDetail(self._row(job_id), "/q/processing/x", job_id, 1, STARTED, None)

    async def events(self, job_id: str, limit: int = 1000, cursor: str = "") -> EventPage:
        self._called("events", job_id, limit, cursor)
        return EventPage((Event(1, EventType.CLAIMED, STARTED, data={"file": self._row(job_id).id}),), "more")

    async def log(self, job_id: str, lines: int) -> Sequence[str]:
        self._called("log", job_id, lines)
        return [f"line {number}" for number in range(5)][-lines:] if self._row(job_id) else []

    async def report(self, job_id: str) -> Mapping[str, object]:
        self._called("report", job_id)
        return {"id": self._row(job_id).id, "status": "completed"}

    async def artifacts(self, job_id: str) -> Sequence[Artifact]:
        self._called("artifacts", job_id)
        return [Artifact(0, "web01", "input", "/srv/a.vmdk", 7), Artifact(1, self._row(job_id).id, "log", "/q/b.log")]

    async def artifact(self, job_id: str, number: int) -> ArtifactContent:
        self._called("artifact", job_id, number)
        if number > 0:
            raise fail("artifact-unknown", f"{job_id} has no artifact {number}")
        return ArtifactContent(f"ünï of {self._row(job_id).id}.log", "text/plain", "ü\n".encode())

    async def validate(self, text: bytes, syntax: str = "") -> Validation:
        self._called("validate", text, syntax)
        return self.validation

    async def submit(self, text: bytes, syntax: str = "", idempotency_key: str = "", default_name: str = "") -> Receipt:
        self._called("submit", text, syntax, idempotency_key, *filter(None, [default_name]))
        if not self.validation.valid:
            raise ManifestInvalidError(self.validation)
        return Receipt("/q/to_be_processed/web01.json", "web01.json")

    async def generate(self, wish: ManifestWish) -> Mapping[str, object]:
        self._called("generate", wish)
        return ManifestDraft(wish.source_path, output_format=wish.output_format, compress=wish.compress).document()

    def revision(self, query: JobQuery) -> str:
        return self.version

    async def cancel(self, job_id: str) -> None:
        self._called("cancel", job_id)
        self._row(job_id)

    async def retry(self, job_id: str) -> None:
        self._called("retry", job_id)
        if self._row(job_id).status is not JobState.FAILED:
            raise fail("job-state", "The job is processing; only failed and cancelled jobs can be retried.")

    def listen(self, last_id: str = "") -> Listener:
        self._called("listen", last_id)
        return self.broadcast.listen(last_id)

    async def pause(self) -> None:
        self._called("pause")

    async def resume(self) -> None:
        self._called("resume")

    async def queue(self, limit: int = 1000) -> QueueInspection:
        self._called("queue", limit)
        entry = QueueEntry("half.json", "still being written", 10, STARTED)
        return QueueInspection(waiting=(entry,), counts={"to_be_processed": 1})

    def ready(self) -> str:
        return self.not_ready


def invalid(*messages: str, parsed: bool = True) -> Validation:
    """A validation with a problem of each message."""
    code = "manifest-required" if parsed else "document-syntax"
    return Validation(problems=tuple(Problem(code, message) for message in messages), parsed=parsed)
