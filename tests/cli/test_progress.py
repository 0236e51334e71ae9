"""Lines of running jobs: for a terminal with all numbers, for a log with few lines. Following is tested with submit."""

from __future__ import annotations

import dataclasses

import pytest

from hypersdkd.cli.progress import WIDE, job_lines, problem_of
from hypersdkd.model.job import GuestProgress, JobState
from tests.web.fake import HOSTILE, RUNNING


def lines(*guests: GuestProgress, width: int = 0) -> list[str]:
    return job_lines(dataclasses.replace(RUNNING, guests=guests).as_dict(), width=width)


def test_a_guest_for_a_terminal() -> None:
    assert job_lines(RUNNING.as_dict(), width=WIDE) == [
        "web01.json  web01  convert  ████████░░░░░░░░░░░░  42%  420 B/1000 B  60 B/s  ETA 10s"
    ]


ID = "manifest-20261125-013447.json"
BUSY = GuestProgress("web01", JobState.PROCESSING, "convert", 42, 862 << 20, 2 << 30, 123 << 20, 3690)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (100, f"{ID}  web01  convert  42%  862.0 MiB/2.0 GiB  123.0 MiB/s  ETA 1h 1m"),
        (80, f"{ID}  convert  42%  123.0 MiB/s  ETA 1h 1m"),
        (40, "manifest-2…  42%  123.0 MiB/s  ETA 1h 1m"),
        (30, "manifest-20…  42%  123.0 MiB/s"),
        (20, "manifest-20261…  42%"),
    ],
)
def test_a_narrow_terminal_keeps_percent_then_speed_then_time_to_go(width: int, line: str) -> None:
    job = dataclasses.replace(RUNNING, id=ID, guests=(BUSY,)).as_dict()
    (shown,) = job_lines(job, width=width)
    assert len(shown) <= width
    assert shown == line


@pytest.mark.parametrize("width", [20, 40, 80])
def test_guests_of_a_batch_are_told_apart_on_a_narrow_terminal(width: int) -> None:
    shown = lines(BUSY, dataclasses.replace(BUSY, vm="web02"), width=width)
    assert max(map(len, shown)) <= width
    assert ["web01" in shown[0], "web02" in shown[1]] == [True, True]
    assert all("42%" in line for line in shown)


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
@pytest.mark.parametrize("width", [0, WIDE])
def test_what_has_ended_moves_no_more(state: JobState, width: int) -> None:
    assert lines(dataclasses.replace(BUSY, status=state), width=width) == [f"web01.json  web01  {state.value}"]
    ended = dataclasses.replace(RUNNING, status=state, guests=())
    assert job_lines(ended.as_dict(), width=width) == [f"web01.json  {state.value}"]


def test_what_is_not_known_is_not_shown() -> None:
    guest = GuestProgress("vm", JobState.PENDING)
    assert lines(guest, width=WIDE) == [f"web01.json  vm  pending  {'░' * 20}  0%"]
    assert lines(guest) == ["web01.json  vm  pending"]


def test_percent_goes_in_tens_in_a_log() -> None:
    shown = {lines(GuestProgress("vm", JobState.PROCESSING, "load", percent))[0] for percent in range(101)}
    assert len(shown) == 11


def test_percent_out_of_range() -> None:
    for percent, end in ((-5, " 0%"), (500, " 100%")):
        assert lines(GuestProgress("vm", JobState.PROCESSING, "load", percent), width=WIDE)[0].endswith(end)


def test_a_job_without_guests_and_with_a_hostile_name() -> None:
    assert job_lines(HOSTILE.as_dict()) == ["a b {x} ünï.json  pending"]
    long = dataclasses.replace(HOSTILE, id="\x1b[2J" + "x" * 10_000)
    assert len(job_lines(long.as_dict())[0]) < 80


def test_the_problem_of_a_job_that_tells_little() -> None:
    assert problem_of({"status": "cancelled"}).code == "cancelled"
    assert problem_of({"status": "failed", "error": "broken"}).message == "broken"
    assert problem_of({"status": "failed", "problem": {"code": "no-space", "message": "full"}}).code == "no-space"
