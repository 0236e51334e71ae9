"""The recorded runs of the Go client: every word and number of theirs is in our output, and the exit status is theirs.

What differs on purpose is listed in ``tests/golden/hyperctl/departures.py``, and must differ.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from hypersdkd.model.replies import Receipt
from tests.cli.conftest import NOWHERE, Canned, RealRules, Run
from tests.golden.hyperctl.departures import DEPARTURES

GOLDEN = Path(__file__).parents[1] / "golden" / "hyperctl"
RUNS = [json.loads(line) for line in (GOLDEN / "runs.jsonl").read_text().splitlines()]
QUEUE = "/var/lib/hyper2kvm/manifest-workflow"

GOOD = {
    "version": "1.0",
    "pipeline": {
        "load": {"source_type": "vmdk", "source_path": "/srv/a.vmdk"},
        "convert": {"output_format": "qcow2"},
    },
}
GUEST = {"name": "a", "pipeline": GOOD["pipeline"]}
NO_PATH = {"pipeline": {"load": {"source_type": "vmdk"}, "convert": {"output_format": "qcow2"}}}

#: The files that the recorded command lines name: what they hold was found out from the replies.
FILES = {
    "good.json": json.dumps(GOOD),
    "good.txt": json.dumps(GOOD),
    "good.yaml": json.dumps(GOOD),
    "good.yml": json.dumps(GOOD),
    "empty.json": "{}",
    "bad.json": "{bad",
    "bad.yaml": "a: [b",
    "batchgood.json": json.dumps({"version": "1.0", "batch": True, "vms": [GUEST]}),
    "batchbad.json": json.dumps({"version": "1.0", "batch": True, "vms": [GUEST, NO_PATH]}),
    "batchempty.json": json.dumps({"version": "1.0", "batch": True, "vms": []}),
    "vernum.json": json.dumps({**GOOD, "version": 1}),
    "batchstr.json": json.dumps({**GOOD, "batch": "yes"}),
    "wrongtype.json": json.dumps(
        {**GOOD, "pipeline": {**GOOD["pipeline"], "convert": {"output_format": "raw", "compress": "yes"}}}
    ),
    "keycase.json": json.dumps(
        {
            "VERSION": "1.0",
            "Pipeline": {
                "LOAD": {"Source_Type": "vmdk", "source_path": "/a"},
                "convert": {"output_format": "raw"},
            },
        }
    ),
}


def _status(mode: str, running: bool, *counts: int) -> dict[str, object]:
    keys = ("queue_depth", "active_jobs", "processed_today", "failed_today")
    return {
        "mode": mode,
        "running": running,
        **dict(zip(keys, counts, strict=True)),
        "max_workers": 3,
        "uptime_seconds": 0,
    }


def _job(name: str) -> dict[str, object]:
    row = {"stage": "PROCESSING", "progress": 0, "started_at": None, "elapsed_seconds": 90, "status": ""}
    return {"id": f"{name}.json", "name": name, **row}


JOBS = [_job("longjobname01"), _job("run")]

#: The daemon's status and jobs in each recorded state.
STATES = {
    "daemon, manifest queue filled": (_status("manifest", True, 2, 2, 1, 1), JOBS),
    "daemon, empty queue": (_status("manifest", True, 0, 0, 0, 0), []),
    "daemon, empty disk queue": (_status("disk", True, 0, 0, 0, 0), []),
    "daemon, one active": (_status("manifest", True, 0, 1, 0, 0), JOBS[:1]),
    "daemon, no directories": (_status("manifest", False, 0, 0, 0, 0), []),
}


def _prepare(record: dict, canned: Canned, workflow: RealRules, base: Path) -> str:
    """Make the recorded state; the address of the daemon, if there is one."""
    state = record["state"]
    if state in STATES:
        status, jobs = STATES[state]
        page = {"jobs": jobs, "total": len(jobs)}
        for path, reply in (("status", status), ("jobs", page)):
            canned.answers[f"/api/workflow/{path}"] = (200, "application/json", json.dumps(reply).encode())
        return canned.url
    if "server_reply" in record:
        reply = record["server_reply"]
        canned.answers["*"] = (reply["status"], reply["content_type"], reply["body"].encode())
        return canned.url
    if state == "manifest":
        for name, text in FILES.items():
            (base / name).write_text(text)
        (base / "out").mkdir()
        workflow.receipt = Receipt(f"{QUEUE}/to_be_processed/good-TIMESTAMP.json", "good-TIMESTAMP.json")
        return workflow.url if "submit" in record["argv"] else NOWHERE
    if state == "no daemon, manifest queue":
        today = time.strftime("%Y-%m-%d")
        places = {"to_be_processed": 3, "processing": 2, f"processed/{today}": 2, f"failed/{today}": 2}
        for place, count in places.items():
            directory = base / "manifest-workflow" / place
            directory.mkdir(parents=True)
            for number in range(count):
                (directory / f"job{number}.json").write_text("{}")
    return NOWHERE


def _words(text: str) -> set[str]:
    """Words and numbers; case, box drawing, signs, emoji and the labels of lines are not worth a test.

    What the parsers of Go say of a text is not a promise.
    """
    text = re.sub(r"(?m)^ *(SUCCESS|INFO|WARNING|ERROR)\b", "", text)
    text = re.sub(r"(Failed to parse \w+:).*", r"\1", text)
    return set(re.findall(r"[\w/]+(?:[./_-]+\w+)*", text.lower()))


def _difference(record: dict, run: Run, base: Path) -> str:
    """How our run differs from the recorded one; empty if it does not."""
    places = {QUEUE: str(base / "manifest-workflow"), "${BASE}": str(base), "${TIMESTAMP}": "TIMESTAMP"}
    argv, wanted = record["argv"], f"{record['stdout']}\n{record['stderr']}"
    for theirs, ours in places.items():
        argv, wanted = argv.replace(theirs, ours), wanted.replace(theirs, ours)
    result = run(*argv.split()[1:])
    if result.status != record["exit"]:
        return f"exit status {result.status} instead of {record['exit']}"
    missing = _words(wanted) - _words((result.out + result.err).replace(QUEUE, places[QUEUE]))
    return f"missing: {sorted(missing)}" if missing else ""


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_run(
    number: int,
    run: Run,
    canned: Canned,
    workflow: RealRules,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = RUNS[number]
    monkeypatch.setenv("HYPERSDKD_URL", _prepare(record, canned, workflow, elsewhere))
    difference = _difference(record, run, elsewhere)
    if number in DEPARTURES:
        assert difference, f"no departure any more: {DEPARTURES[number]}"
    else:
        assert not difference, f"{record['argv']}: {difference}"


def test_departures_name_recorded_runs() -> None:
    assert set(DEPARTURES) <= set(range(len(RUNS)))
