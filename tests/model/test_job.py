"""States and rows of jobs."""

from __future__ import annotations

import pytest

from hypersdkd.model.job import GuestProgress, JobState, JobSummary, stem


@pytest.mark.parametrize(
    ("job", "name"), [("web01.json", "web01"), ("a.b.yaml", "a.b"), ("", ""), ("noext", "noext"), ("-rf.vmdk", "-rf")]
)
def test_a_name_is_the_id_without_its_extension(job: str, name: str) -> None:
    assert stem(job) == name


def test_a_row_keeps_the_seven_fields_and_no_other_differs_only_in_case() -> None:
    row = JobSummary("web01.json", JobState.PROCESSING, guests=(GuestProgress("vm", JobState.PROCESSING),)).as_dict()
    assert {"id", "name", "stage", "progress", "started_at", "elapsed_seconds", "status"} <= set(row)
    assert len({key.casefold() for key in row}) == len(row)
    assert row["started_at"] is None
    assert row["vms"][0]["eta_seconds"] is None  # type: ignore[index]
