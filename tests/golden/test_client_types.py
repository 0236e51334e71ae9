"""Clients of the Go API can read our replies: held by the rules that were measured with Go itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hypersdkd.client.directories import OfflineQueue
from tests.golden.go_decoder import JOB, STATUS, ZERO_TIME, case_twins, decode
from tests.golden.real_daemon import daemon_on
from tests.golden.recordings import recordings, set_up
from tests.web.raw import ask

MEASURED = json.loads(Path(__file__).with_name("client-types.json").read_text())["go_decoding_measured"]
FILLED = next(each["setup"] for each in recordings() if each["name"] == "jobs-filled-all")


@pytest.mark.parametrize("case", MEASURED, ids=lambda case: f"{case['reply']}: {case['case']}")
def test_the_decoder_is_go_s(case):
    if case["accepted"]:
        assert decode(case["reply"], case["input"]) == case["decoded"]
    else:
        with pytest.raises(ValueError, match=r"."):
            decode(case["reply"], case["input"])


async def test_replies_of_the_daemon(tmp_path):
    set_up(tmp_path, FILLED)
    queue = tmp_path / "manifest-workflow"
    async with daemon_on(queue, "manifest") as address:
        status = await ask(address, "GET", "/api/workflow/status")
        pages = {
            word: await ask(address, "GET", f"/api/workflow/jobs{word}")
            for word in ("", "/active", "?status=pending", "?status=failed", "?status=all", "?status=cancelled")
        }
    assert decode("status", status.body)["active_jobs"] == 2
    assert not case_twins(status.json)
    assert set(status.json) >= set(STATUS)
    for word, page in pages.items():
        rows = decode("jobs", page.body)["jobs"]
        assert len(rows) == page.json["total"] == len(page.json["jobs"]), word
        assert not case_twins(page.json)
        for row in page.json["jobs"]:
            assert set(row) >= set(JOB)
    rows = {row["id"]: row for row in decode("jobs", pages["?status=all"].body)["jobs"]}
    assert {row["status"] for row in rows.values()} == {"pending", "processing", "completed", "failed"}
    assert rows["web01.json"]["started_at"] == ZERO_TIME
    assert 85 <= rows["run1.json"]["elapsed_seconds"] <= 150


def test_replies_without_a_daemon(tmp_path):
    set_up(tmp_path, FILLED)
    queue = OfflineQueue(tmp_path / "manifest-workflow")
    assert decode("status", json.dumps(queue.status()))["queue_depth"] == 4
    rows = queue.jobs("all")
    assert len(decode("jobs", json.dumps({"jobs": rows, "total": len(rows)}))["jobs"]) == 9
    assert not case_twins(queue.status()) and not any(map(case_twins, rows))
