"""Moves through the queue: never over a file of somebody else's, and never of one."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from hypersdkd.engine.claims import Claim, ClaimState
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.spool import Spool
from hypersdkd.model.job import JobState
from tests.engine.queue_state import make_queue, spool_of
from tests.problems import raises_problem


@pytest.fixture
def layout(tmp_path: Path) -> QueueLayout:
    return make_queue(tmp_path)


@pytest.fixture
def spool(layout: QueueLayout) -> Spool:
    return spool_of(layout)


def drop(spool: Spool, name: str, content: str = "job") -> str:
    (spool.layout.drop / name).write_text(content)
    return name


def claimed(spool: Spool, name: str) -> Claim:
    claim = spool.claim(drop(spool, name))
    assert claim is not None
    return claim


def today() -> str:
    return datetime.now().astimezone().date().isoformat()


def test_a_claim_moves_the_file_and_remembers_its_name(spool: Spool) -> None:
    name = os.fsdecode(b"a\n\xff.json")
    claim = claimed(spool, name)
    assert claim.state is ClaimState.ACTIVE
    assert (claim.original_name, claim.runs) == (name, 1)
    assert claim.id.isprintable()
    assert os.listdir(spool.layout.processing) == [claim.id]
    assert os.listdir(spool.layout.drop) == []
    assert spool.claims.read(claim.id) == claim


def test_a_file_that_is_gone_leaves_no_claim(spool: Spool) -> None:
    assert spool.claim("gone.json") is None
    assert list(spool.claims.all()) == []
    assert os.listdir(spool.layout.jobs) == []


@pytest.mark.parametrize("place", ["claims", "processing", "processed"])
def test_a_name_in_use_anywhere_gets_another_id(spool: Spool, place: str) -> None:
    if place == "claims":
        spool.finish(claimed(spool, "a.json"), JobState.COMPLETED, b"{}")
    elif place == "processing":
        (spool.layout.processing / "a.json").write_text("another daemon's")
    else:
        (spool.layout.processed / "2020-01-01").mkdir()
        (spool.layout.processed / "2020-01-01" / "a.json").touch()
    assert spool.taken("a.json")
    claim = claimed(spool, "a.json")
    assert (claim.id, claim.original_name) == ("a-2.json", "a.json")


def test_a_file_that_another_daemon_claims_in_that_moment_is_not_taken_for_ours(spool: Spool) -> None:
    drop(spool, "a.json", "ours")
    advance = spool.claims.advance

    def other_daemon(claim: Claim, state: ClaimState, **changes: str) -> Claim:
        if state is ClaimState.CLAIMED and not changes:
            (spool.layout.processing / "a.json").write_text("theirs")
        return advance(claim, state, **changes)

    spool.claims.advance = other_daemon  # type: ignore[method-assign]
    claim = spool.claim("a.json")
    assert claim is not None
    assert (claim.id, claim.file) == ("a.json", "2-a.json")
    assert (spool.layout.processing / claim.file).read_text() == "ours"
    assert (spool.layout.processing / "a.json").read_text() == "theirs"


@pytest.mark.parametrize(
    ("mode", "outcome", "kind", "suffix"),
    [
        ("manifest", JobState.COMPLETED, "processed", ".report.json"),
        ("disk", JobState.COMPLETED, "processed", ".meta.json"),
        ("manifest", JobState.FAILED, "failed", ".error.json"),
        ("disk", JobState.CANCELLED, "failed", ".error.json"),
    ],
)
def test_an_ended_job_lies_beside_its_record(
    layout: QueueLayout, mode: str, outcome: JobState, kind: str, suffix: str
) -> None:
    spool = Spool(layout, mode, lambda _name: False)
    ended = spool.finish(claimed(spool, "a.json"), outcome, b"record")
    day = layout.base / kind / today()
    assert sorted(os.listdir(day)) == ["a.json", "a.json" + suffix]
    assert (day / ("a.json" + suffix)).read_bytes() == b"record"
    assert (ended.state, ended.outcome, ended.date, ended.target) == (
        ClaimState.FINISHED,
        outcome.value,
        today(),
        "a.json",
    )


def test_nothing_that_ended_before_is_overwritten(spool: Spool) -> None:
    claim = claimed(spool, "a.json")
    day = spool.layout.failed / today()
    day.mkdir()
    (day / "a.json.report.json").write_text("a file of somebody else's")
    ended = spool.finish(claim, JobState.FAILED, b"record")
    assert ended.target == "2-a.json"
    assert sorted(os.listdir(day)) == ["2-a.json", "2-a.json.error.json", "a.json.report.json"]


def test_a_file_that_its_owner_took_away_still_ends_with_a_record(spool: Spool) -> None:
    claim = claimed(spool, "a.json")
    (spool.layout.processing / "a.json").unlink()
    ended = spool.finish(claim, JobState.FAILED, b"record")
    assert ended.state is ClaimState.FINISHED
    assert os.listdir(spool.layout.failed / today()) == ["a.json.error.json"]


def test_a_retry_keeps_id_and_old_record_and_begins_anew(spool: Spool) -> None:
    claim = claimed(spool, "a.json")
    (spool.claims.directory("a.json") / "00001").mkdir()
    spool.claims.ask_cancel("a.json")
    ended = spool.finish(claim, JobState.CANCELLED, b"record")
    pending = spool.retry("a.json", ended.date, ended.target)
    assert pending.state is ClaimState.PENDING
    assert os.listdir(spool.layout.drop) == ["a.json"]
    assert os.listdir(spool.layout.failed / today()) == []
    assert (spool.claims.directory("a.json") / "error-1.json").read_bytes() == b"record"
    again = spool.claim("a.json")
    assert again is not None
    assert (again.id, again.runs, again.outcome) == ("a.json", 2, "")
    assert not spool.claims.cancel_asked("a.json")
    assert spool.claims.guest_directories("a.json") == []


def test_a_pending_retry_that_its_owner_took_away_is_an_ended_job(spool: Spool) -> None:
    ended = spool.finish(claimed(spool, "a.json"), JobState.FAILED, b"record")
    spool.retry("a.json", ended.date, ended.target)
    (spool.layout.drop / "a.json").unlink()
    assert spool.claim("a.json") is None
    found = spool.claims.read("a.json")
    assert found is not None
    assert found.state is ClaimState.FINISHED


def test_a_record_of_another_daemon_can_be_retried(spool: Spool) -> None:
    day = spool.layout.failed / "2020-01-01"
    day.mkdir()
    (day / "old.json").write_text("job")
    (day / "old.json.error.json").write_text(json.dumps({"status": "failed"}))
    pending = spool.retry("old.json", "2020-01-01", "old.json")
    assert (pending.id, pending.state) == ("old.json", ClaimState.PENDING)
    again = spool.claim("old.json")
    assert again is not None
    assert again.runs == 2


def test_what_cannot_be_retried(spool: Spool) -> None:
    ended = spool.finish(claimed(spool, "a.json"), JobState.FAILED, b"record")
    drop(spool, "a.json", "new")
    with raises_problem("job-state", "waits"):
        spool.retry("a.json", ended.date, ended.target)
    assert (spool.layout.failed / ended.date / "a.json").exists()
    (spool.layout.drop / "a.json").unlink()
    spool.retry("a.json", ended.date, ended.target)
    with raises_problem("job-state"):
        spool.retry("a.json", ended.date, ended.target)
    running = spool.claim("a.json")
    assert running is not None
    (spool.layout.failed / ended.date / "a.json").write_text("another daemon's of the same name")
    with raises_problem("job-state"):
        spool.retry("a.json", ended.date, "a.json")
    assert spool.claims.read("a.json") == running
