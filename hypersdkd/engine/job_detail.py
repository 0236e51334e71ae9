"""One job whole: its row, its claim and its record put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.names import file_name_for_display
from hypersdkd.engine.queries import problem_of
from hypersdkd.model.job import JobSummary
from hypersdkd.model.replies import JobDetail


def job_detail(
    summary: JobSummary,
    path: str,
    claim: Claim | None,
    record: Mapping[str, object] | None,
    waiting: Iterable[str] = (),
) -> JobDetail:
    """``path`` is where the job's file is now; ``record`` what lies beside it, if it has ended; ``waiting`` are the
    files of the drop directory that would go with it.

    Attempts and companions are the record's; of a job that has none yet, how often and with what it was claimed.
    """
    attempts = record.get("attempts") if record else None
    claimed = claim is not None and claim.state is not ClaimState.PENDING
    return JobDetail(
        summary=summary,
        path=path,
        original_name=file_name_for_display(claim.original_name) if claim else summary.id,
        attempts=attempts if isinstance(attempts, int) else claim.runs if claim is not None and claimed else 0,
        claimed_at=claim.claimed_at if claim is not None and claimed else None,
        problem=problem_of(record) if record else None,
        companions=_companions(claim if claimed else None, record, waiting),
    )


def _companions(claim: Claim | None, record: Mapping[str, object] | None, waiting: Iterable[str]) -> tuple[str, ...]:
    told = record.get("companions") if record else None
    if isinstance(told, list):
        return tuple(map(str, told))
    return tuple(map(file_name_for_display, claim.companions if claim is not None else waiting))


def is_plain(job_id: str) -> bool:
    """Whether an ID from outside can be looked up as a directory's name at all."""
    return bool(job_id) and "/" not in job_id and "\0" not in job_id and job_id not in {".", ".."}
