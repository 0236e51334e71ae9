"""What an ended job came to, below `job show` and at the end of `submit --wait`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from hypersdkd.model.job import JobState
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import JobDetail
from tests.cli.conftest import RealRules, Run
from tests.web.fake import RUNNING

WARNED = Problem("tool-unconfined", "qemu-img is not confined").as_dict()
RECORD = {
    "artifacts": {"outputs": ["/q/output/a.qcow2", "/q/output/b\x1b[31m.qcow2"]},
    "warnings": [WARNED, WARNED],
    "vms": [
        {"vm": "a", "problem": None},
        {"vm": "b", "problem": Problem("source-missing", "there is no b.vmdk").as_dict()},
    ],
}


@pytest.fixture
def record(workflow: RealRules, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The record of every job; all have completed."""
    kept: dict[str, object] = {}

    async def job(job_id: str) -> JobDetail:
        return JobDetail(dataclasses.replace(RUNNING, status=JobState.COMPLETED), "/q/x", job_id, 1, None, None)

    async def report(job_id: str) -> Mapping[str, object]:
        if not kept:
            raise fail("not-found", "there is no record")
        return kept

    monkeypatch.setattr(workflow, "job", job)
    monkeypatch.setattr(workflow, "report", report)
    return kept


@pytest.mark.parametrize("line", ["job show web01.json", "manifest submit --wait good.json"])
def test_results_warnings_and_failed_guests(run: Run, record: dict[str, object], elsewhere: Path, line: str) -> None:
    manifest = {
        "version": "1.0",
        "pipeline": {
            "load": {"source_type": "raw", "source_path": "/srv/a.raw"},
            "convert": {"output_format": "qcow2"},
        },
    }
    (elsewhere / "good.json").write_text(json.dumps(manifest))
    record.update(RECORD)
    result = run(*line.split())
    assert "Result: /q/output/a.qcow2\nResult: /q/output/b.qcow2\n" in result.out
    assert result.err.count("WARNING  qemu-img is not confined") == 1, "said once"
    assert "ERROR  b: there is no b.vmdk\n  remedy: Check the path" in result.err
    record["vms"] = [RECORD["vms"][1]]  # type: ignore[index]
    assert "b: " not in run(*line.split()).err, "one guest's problem is the job's"


def test_a_batch_of_many_is_cut(run: Run, record: dict[str, object]) -> None:
    record["artifacts"] = {"outputs": [f"/o/{number}" for number in range(23)]}
    result = run("job", "show", "web01.json")
    assert (result.out.count("Result: "), "and 3 more" in result.err) == (20, True)


def test_a_job_without_a_record(run: Run, record: dict[str, object]) -> None:
    result = run("job", "show", "web01.json")
    assert (result.status, result.err) == (0, "")


def test_a_dry_run_tells_its_plan(run: Run, record: dict[str, object]) -> None:
    changes = [{"fixer": "fstab", "path": f"/etc/fstab{number}\x1b[31m", "action": "written"} for number in range(25)]
    guest = {"vm": "a", "problem": None, "changes": changes, "guest": {"dry_run": {"outputs": ["/q/output/a.qcow2"]}}}
    record.update({"artifacts": {"outputs": []}, "warnings": [], "vms": [guest]})
    result = run("job", "show", "web01.json")
    assert "Dry run of a: nothing was written\nWould change: /etc/fstab0 (fstab, written)\n" in result.out
    assert result.out.count("Would change") == 20
    assert "and 5 more" in result.err
    assert result.out.rstrip().endswith("Would write: /q/output/a.qcow2")
