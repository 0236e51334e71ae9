"""status, list and queue, with a daemon and without."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hypersdkd.model.job import JobState
from hypersdkd.model.problem import fail
from hypersdkd.model.replies import JobQuery
from tests.cli.conftest import Canned, RealRules, Run


def reply(canned: Canned, path: str, document: object, status: int = 200) -> None:
    canned.answers[path] = (status, "application/json", json.dumps(document).encode())


STATUS = {
    "mode": "manifest",
    "running": True,
    "queue_depth": 0,
    "active_jobs": 0,
    "processed_today": 5,
    "failed_today": 0,
    "max_workers": 2,
    "uptime_seconds": 90061,
}


def test_status_shows_what_else_the_daemon_tells(run: Run, canned: Canned) -> None:
    more = {
        "version": "9.8",
        "paused": True,
        "queue_depth": 5,
        "waiting": 4,
        "disk": {"free_bytes": 3 << 30},
        "last_error": "\x1b[2Jno space",
    }
    reply(canned, "/api/workflow/status", {**STATUS, **more})
    result = run("workflow", "status")
    assert result.status == 0
    for words in ("Running (paused)", "25h 1m", "9.8", "3.0 GiB", "no space", "4 of them wait"):
        assert words in result.out
    assert "\x1b" not in result.out


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"problems": [], "needs_restart": []}, ""),
        ({"problems": [], "needs_restart": ["mode", "api.listen"]}, "Restart to apply mode, api.listen"),
        ({"problems": [{"path": "x.y", "message": "\x1b[2Jbad"}] * 3}, "Not reloaded: x.y: bad and 2 more"),
        ({"problems": [{"path": "", "message": "gone"}], "needs_restart": ["mode"]}, "Not reloaded: gone"),
    ],
)
def test_status_says_when_the_configuration_is_not_in_force(
    run: Run, canned: Canned, config: dict[str, object], words: str
) -> None:
    reply(canned, "/api/workflow/status", {**STATUS, "config": config})
    rows = [line.split(maxsplit=1) for line in run("workflow", "status").out.splitlines() if "Configuration" in line]
    assert [row[1].strip() for row in rows] == ([words] if words else [])


@pytest.mark.parametrize(
    ("missing", "words"),
    [([], ["Running", "This daemon observes"]), (["/q/processing"], ["Stopped", "not there yet: /q/processing"])],
)
def test_status_says_that_another_daemon_works_the_queue(
    run: Run, canned: Canned, missing: list[str], words: list[str]
) -> None:
    reply(
        canned,
        "/api/workflow/status",
        {**STATUS, "executor": "observe", "running": not missing, "missing_directories": missing},
    )
    result = run("workflow", "status")
    assert result.status == 0
    for word in ("Executor", "observe", *words):
        assert word in result.out + result.err


def test_json_is_the_reply_itself(run: Run, canned: Canned) -> None:
    page = {"jobs": [{"id": "a", "more": 1}], "total": 1, "cursor": ""}
    for name, document in (("status", STATUS), ("queue", {"counts": {}}), ("jobs", page)):
        reply(canned, f"/api/workflow/{name}", document)
        result = run("workflow", {"jobs": "list"}.get(name, name), "--json")
        assert json.loads(result.out) == document
        assert (result.status, result.err) == (0, "")


def test_list_asks_for_all_and_says_when_more_exist(run: Run, canned: Canned) -> None:
    reply(canned, "/api/workflow/jobs", {"jobs": [{"id": "a.json", "name": "a"}], "total": 7})
    result = run("workflow", "list")
    assert "status=all" in canned.asked[0]
    assert "The first 1 are shown" in result.out
    assert "Found 7 job(s)" in result.err


def test_list_shows_each_job(run: Run, workflow: RealRules) -> None:
    result = run("workflow", "-op", "list")
    lines = result.out.splitlines()
    assert lines[2].split() == ["web01.json", "web01", "convert", "processing", "42%", "7s"]
    # A newline in a name cannot make a line of its own.
    assert len(lines) == 2 + len(workflow.rows)


def test_queue_shows_reasons(run: Run, workflow: RealRules) -> None:
    result = run("workflow", "queue")
    assert result.status == 0
    assert "half.json  still being written" in result.out


@pytest.mark.parametrize("bad", [{"max_workers": "3"}, {"uptime_seconds": 1.5}, {"mode": 1}, {"queue_depth": True}])
def test_a_reply_of_the_wrong_shape(run: Run, canned: Canned, bad: dict[str, object]) -> None:
    reply(canned, "/api/workflow/status", {**STATUS, **bad})
    result = run("workflow", "status")
    assert result.status == 1
    assert "Failed to parse response" in result.err


@pytest.mark.parametrize("action", ["status", "list", "queue"])
def test_an_error_of_the_daemon_is_shown(run: Run, workflow: RealRules, action: str) -> None:
    workflow.error = fail("queue-unusable", "the queue is gone", remedy="bring it back")
    result = run("workflow", action)
    assert (result.status, result.out) == (1, "")
    assert result.err == "ERROR  the queue is gone\n  remedy: bring it back\n"


def fill(base: Path) -> None:
    today = time.strftime("%Y-%m-%d")
    for place, names in {
        "to_be_processed": ("a.json", "b.json", ".hidden.json", "c.json.part"),
        "processing": ("\x1b[31mred.json",),
        f"processed/{today}": ("d.json", "d.json.report.json"),
        f"failed/{today}": ("e.json", "e.json.error.json"),
    }.items():
        (base / place).mkdir(parents=True)
        for name in names:
            (base / place / name).write_text("{}")


def test_without_a_daemon_the_directories_are_read(run: Run, elsewhere: Path) -> None:
    fill(elsewhere / "manifest-workflow")
    result = run("workflow", "status")
    assert result.status == 0
    assert "API not available" in result.err
    assert "http://127.0.0.1:9" in result.err
    assert "Queue: 2 | Active: 1 | Done: 1 | Failed: 1" in result.out
    listed = run("workflow", "list")
    assert (listed.status, "Found 5 job(s)" in listed.err) == (0, True)
    assert "\x1b" not in listed.out
    assert run("workflow", "queue").status == 0
    page = json.loads(run("workflow", "list", "--json").out)
    assert page["total"] == len(page["jobs"]) == 5


def test_both_queues_without_a_daemon(run: Run, elsewhere: Path) -> None:
    fill(elsewhere / "manifest-workflow")
    fill(elsewhere / "workflow")
    (elsewhere / "workflow/to_be_processed/disk.vmdk").write_text("")
    (elsewhere / "manifest-workflow/to_be_processed/disk.vmdk").write_text("")
    status = run("workflow", "status").out
    assert [line.split()[1] for line in status.splitlines() if "Queue: " in line] == ["2", "3"]  # documents too
    assert json.loads(run("workflow", "queue", "--json").out)["counts"]["to_be_processed"] == 5
    assert json.loads(run("workflow", "status", "--json").out)["queue_depth"] == 2


def test_status_as_json_without_a_daemon_and_queues(run: Run) -> None:
    document = json.loads(run("workflow", "status", "--json").out)
    assert (document["running"], document["queue_depth"]) == (False, 0)


def test_a_directory_is_read_without_asking_the_daemon(run: Run, workflow: RealRules, elsewhere: Path) -> None:
    fill(elsewhere / "other")
    counts = json.loads(run("workflow", "queue", "-dir", str(elsewhere / "other"), "-json").out)["counts"]
    assert counts == {"to_be_processed": 2, "processing": 1, "processed": 1, "failed": 1, "cancelled": 0}
    assert workflow.calls == []


def test_any_workflow_command_reads_a_directory(run: Run, workflow: RealRules, elsewhere: Path) -> None:
    fill(elsewhere / "other")
    assert "Queue: 2" in run("workflow", "-op", "status", "-dir", "other").out
    assert json.loads(run("workflow", "-op", "list", "-dir", "other", "-json").out)["total"] == 5
    assert json.loads(run("workflow", "-op", "watch", "-dir", "other", "--count", "1", "-json").out)["queue_depth"] == 2
    assert workflow.calls == []


def test_the_configured_queue_is_read(run: Run, elsewhere: Path) -> None:
    fill(elsewhere / "mine")
    (elsewhere / "mine/to_be_processed/disk.vmdk").write_text("")
    for mode, depth in (("mode: manifest", 2), ("mode: disk", 3), ("", 3)):
        (elsewhere / "c.yaml").write_text(f"{mode}\nworkflow: {{base_dir: {elsewhere}/mine}}\n")
        status = json.loads(run("workflow", "status", "--json", "--config", "c.yaml").out)
        assert (status["mode"], status["queue_depth"]) == (mode.removeprefix("mode: ") or "disk", depth)
        for action in ("queue", "list"):
            assert run("workflow", action, "--config", "c.yaml").out.count("disk.vmdk") == (
                1 if action == "list" and status["mode"] == "disk" else 0
            )


@pytest.mark.parametrize("action", ["status", "list", "queue", "watch"])
def test_a_configuration_that_no_daemon_would_take_is_said(run: Run, elsewhere: Path, action: str) -> None:
    (elsewhere / "c.yaml").write_text("mode: floppy\n")
    result = run("workflow", action, "--config", "c.yaml", *(("--count", "1") if action == "watch" else ()))
    assert result.status == 0
    assert "The configuration is passed over: mode: " in result.err


@pytest.mark.parametrize("action", ["status", "list", "queue", "watch"])
def test_what_cannot_be_read_is_said_and_not_shown_as_empty(run: Run, elsewhere: Path, action: str) -> None:
    (elsewhere / "c.yaml").write_text(f"workflow: {{base_dir: {elsewhere}/mine}}\n")
    words = ("workflow", action, "--config", "c.yaml", *(("--count", "1") if action == "watch" else ()))
    assert f"WARNING  The directory {elsewhere}/mine does not exist" in run(*words).err
    (elsewhere / "mine").write_text("")
    result = run(*words)
    assert f"WARNING  {elsewhere}/mine cannot be read, so its files are not counted: Not a directory" in result.err
    assert (result.status, action == "status" and "Queue: 0" in result.out) == (0, False)


def test_of_another_machine_nothing_is_known_here(run: Run, elsewhere: Path) -> None:
    fill(elsewhere / "manifest-workflow")
    result = run("--url", "http://vmhost.invalid:8080", "workflow", "status")
    assert (result.status, "Queue: 2" in result.out) == (0, True)
    assert "WARNING  What follows is of this machine, not of vmhost.invalid" in result.err
    assert "of this machine" not in run("workflow", "status").err


@pytest.mark.parametrize("action", ["status", "list", "queue", "watch"])
def test_a_directory_that_is_not_there(run: Run, workflow: RealRules, action: str) -> None:
    result = run("workflow", action, "-dir", "none", *(("--count", "1") if action == "watch" else ()))
    assert result.status == 0
    assert "WARNING  The directory none does not exist" in result.err
    assert workflow.calls == []


def test_a_directory_of_any_name_counts_both_kinds(run: Run, elsewhere: Path) -> None:
    fill(elsewhere / "q")
    (elsewhere / "q/to_be_processed/disk.vmdk").write_text("")
    result = run("workflow", "status", "-dir", "q")
    assert "INFO  Found workflow: q" in result.out
    assert "Queue: 3" in result.out


def test_list_is_filtered(run: Run, workflow: RealRules, elsewhere: Path) -> None:
    options = ("--status", "failed", "--date", "2026-01-02", "--name", "ba", "--limit", "5")
    assert run("workflow", "list", *options).status == 0
    wanted = JobQuery(states=frozenset({JobState.FAILED}), q="ba", date="2026-01-02", limit=5)
    assert workflow.calls == [("jobs", wanted)]
    fill(elsewhere / "q")
    for given, found in (
        (("--status", "active"), ["red.json"]),
        (("--status", "pending", "--name", "A."), ["a.json"]),
        (("--date", time.strftime("%Y-%m-%d")), ["d.json", "e.json"]),
        (("--date", "2020-02-29"), []),
        (("--status", "failed", "--limit", "1"), ["e.json"]),
    ):
        page = json.loads(run("workflow", "list", "-dir", "q", "--json", *given).out)
        assert [job["id"].removeprefix("\x1b[31m") for job in page["jobs"]] == found
    page = json.loads(run("workflow", "list", "-dir", "q", "--json", "--limit", "2").out)
    assert (len(page["jobs"]), page["total"]) == (2, 5)


@pytest.mark.parametrize(
    "wrong", [("--status", "bogus"), ("--date", "../x"), ("--date", "20260102"), ("--limit", "0"), ("--limit", "10001")]
)
def test_filters_that_make_no_sense(run: Run, wrong: tuple[str, str]) -> None:
    result = run("workflow", "list", *wrong)
    assert result.status == 2
    assert wrong[0] in result.err
    assert "JobState" not in result.err, "words of the code"


def test_list_tells_why_a_job_failed_and_what_is_not_known(run: Run, canned: Canned) -> None:
    jobs = [
        {"id": "a.json", "status": "failed", "elapsed_seconds": 0, "error": "2 GiB are missing"},
        {"id": "b.json", "status": "processing", "elapsed_seconds": 0, "started_at": "2026-01-02T03:04:05Z"},
    ]
    reply(canned, "/api/workflow/jobs", {"jobs": jobs, "total": 2})
    _, heading, failed, running, *_ = run("workflow", "list").out.splitlines()
    assert heading.endswith("Elapsed  Reason")
    assert failed.split() == ["a.json", "failed", "-", "-", "2", "GiB", "are", "missing"]
    assert running.split()[-1] == "0s"


def test_cancelled_jobs_are_not_failed_ones(run: Run, canned: Canned, elsewhere: Path) -> None:
    reply(canned, "/api/workflow/status", {**STATUS, "cancelled_today": 3, "failed_today": 1})
    reply(canned, "/api/workflow/queue", {"counts": {"failed": 1, "cancelled": 3}})
    for action in ("status", "queue"):
        shown = run("workflow", action).out
        assert "Failed (today)     1\nCancelled (today)  3\n" in shown
    reply(canned, "/api/workflow/status", STATUS)
    assert "Cancelled" not in run("workflow", "status").out
    fill(elsewhere / "q")
    (record,) = (elsewhere / "q/failed").glob("*/*.error.json")
    record.write_text('{"status": "cancelled", "error": "on request"}')
    assert "Failed: 0 | Cancelled: 1" in run("workflow", "status", "-dir", "q").out
    assert "Failed (today)     0\nCancelled (today)  1" in run("workflow", "queue", "-dir", "q").out
    assert "on request" in run("workflow", "list", "-dir", "q", "--status", "cancelled").out


def test_queue_says_when_it_is_paused(run: Run, canned: Canned) -> None:
    reply(canned, "/api/workflow/queue", {"counts": {}})
    for paused in (True, False):
        reply(canned, "/api/workflow/status", {**STATUS, "paused": paused})
        assert ("paused" in run("workflow", "queue").err) == paused
