"""Lines of running jobs: for a terminal with all numbers, for a log with few lines. Following is tested with submit."""

from __future__ import annotations

import dataclasses

from hypersdkd.cli.progress import job_lines, problem_of
from hypersdkd.model.job import GuestProgress, JobState
from tests.web.fake import HOSTILE, RUNNING


def lines(guest: GuestProgress, *, bar: bool) -> list[str]:
    return job_lines(dataclasses.replace(RUNNING, guests=(guest,)).as_dict(), bar=bar)


def test_a_guest_for_a_terminal() -> None:
    assert job_lines(RUNNING.as_dict(), bar=True) == [
        "web01.json  web01  convert  ████████░░░░░░░░░░░░ 42%  420 B/1000 B  60 B/s  ETA 10s"
    ]


def test_what_is_not_known_is_not_shown() -> None:
    guest = GuestProgress("vm", JobState.PENDING)
    assert lines(guest, bar=True) == [f"web01.json  vm  pending  {'░' * 20} 0%"]
    assert lines(guest, bar=False) == ["web01.json  vm  pending"]


def test_percent_goes_in_tens_in_a_log() -> None:
    shown = {lines(GuestProgress("vm", JobState.PROCESSING, "load", percent), bar=False)[0] for percent in range(101)}
    assert len(shown) == 11


def test_percent_out_of_range() -> None:
    for percent, end in ((-5, " 0%"), (500, " 100%")):
        assert lines(GuestProgress("vm", JobState.PROCESSING, "load", percent), bar=True)[0].endswith(end)


def test_a_job_without_guests_and_with_a_hostile_name() -> None:
    assert job_lines(HOSTILE.as_dict(), bar=False) == ["a b {x} ünï.json  pending"]
    long = dataclasses.replace(HOSTILE, id="\x1b[2J" + "x" * 10_000)
    assert len(job_lines(long.as_dict(), bar=False)[0]) < 80


def test_the_problem_of_a_job_that_tells_little() -> None:
    assert problem_of({"status": "cancelled"}).code == "cancelled"
    assert problem_of({"status": "failed", "error": "broken"}).message == "broken"
    assert problem_of({"status": "failed", "problem": {"code": "no-space", "message": "full"}}).code == "no-space"
