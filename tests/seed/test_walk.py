"""Each command of docs/seed.md did, as it stands there, what it is for."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.seed.table import CONFIGURATION, ROWS
from tests.seed.walk import QUEUE, Result, Walk

pytestmark = pytest.mark.system


@pytest.fixture
def typed(request: pytest.FixtureRequest, walk: Walk) -> list[Result]:
    """Results of the commands whose rows name this test."""
    results = walk.of(f"tests/seed/test_walk.py::{request.node.name}")
    assert results
    return results


def test_every_command_was_typed(walk: Walk) -> None:
    asked = [row.command for row in ROWS if row.command]
    assert sorted(row.command for row, _result in walk.results) == sorted(asked)


# -- hyperctl -----------------------------------------------------------------------------------------


def test_status(typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0, 0], typed[-1].err
    for result in typed:
        assert re.search(r"^Status +Running$", result.out, re.MULTILINE)
        assert re.search(r"^Mode +MANIFEST$", result.out, re.MULTILINE)
        assert re.search(r"^Max Workers +3$", result.out, re.MULTILINE)
    assert re.search(r"^Processing +1$", typed[0].out, re.MULTILINE)
    assert re.search(r"^Processed \(today\) +1$", typed[0].out, re.MULTILINE)


def test_list(typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0]
    assert re.search(r"^done\.json +done +COMPLETED +completed +100%", typed[0].out, re.MULTILINE)
    assert re.search(r"^gated\.json +gated +CONVERT +processing +\d+%", typed[0].out, re.MULTILINE)


def test_queue(typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0]
    for name, files in {"To Be Processed": 0, "Processing": 1, "Processed (today)": 1, "Failed (today)": 0}.items():
        assert re.search(rf"^{re.escape(name)} +{files}$", typed[0].out, re.MULTILINE), typed[0].out


def test_watch(typed: list[Result]) -> None:
    assert [result.status for result in typed] == [130]
    assert re.search(r"Queue: 0 . Active: 1 . Done: 1 . Failed: 0", typed[0].out)


def test_create(walk: Walk, typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0, 0], typed[-1].out
    assert ["Job ID: my-vm-2" in result.out for result in typed] == [True, False]
    built = json.loads((walk.shared / "my-vm-manifest.json").read_bytes())
    assert built["pipeline"]["load"] == {"source_type": "vmdk", "source_path": "/path/to/vm.vmdk"}


def test_validate(typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0], typed[0].out
    assert "Manifest is valid!" in typed[0].out + typed[0].err


def test_submit(walk: Walk, typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0], typed[0].err
    (job,) = [line.split(": ")[1] for line in typed[0].out.splitlines() if line.startswith("Job ID: ")]
    assert f"{QUEUE}/to_be_processed/{job}" in typed[0].out


def test_generate(walk: Walk, typed: list[Result]) -> None:
    assert [result.status for result in typed] == [0], typed[0].err
    assert "Manifest generated!" in typed[0].out + typed[0].err
    assert walk.bash("hyperctl manifest validate /output/dir/vm-manifest.json").status == 0
    sent = walk.bash("hyperctl manifest submit --wait /output/dir/vm-manifest.json")
    assert sent.status == 0, sent.out + sent.err


# -- curl ---------------------------------------------------------------------------------------------


def test_the_status_by_curl(walk: Walk, typed: list[Result]) -> None:
    for result in typed:
        said = json.loads(result.out)
        assert (said["mode"], said["running"], said["max_workers"]) == ("manifest", True, 3)
        assert all(isinstance(said[key], int) for key in ("queue_depth", "active_jobs", "uptime_seconds"))
    walk.until('curl -s localhost:8080/api/workflow/status | grep -q "processed_today.: [5-9]"')
    assert json.loads(walk.bash("curl localhost:8080/api/workflow/status").out)["failed_today"] == 0


def test_active_jobs_by_curl(typed: list[Result]) -> None:
    """One job runs the first time; its guest stands at 42 percent, which is 49 of all its stages."""
    first, later = [json.loads(result.out) for result in typed]
    (job,) = [job for job in first["jobs"] if job["id"] == "gated.json"]
    assert (job["stage"], job["progress"], job["status"]) == ("CONVERT", 49, "processing")
    assert "gated.json" not in [job["id"] for job in later["jobs"]]


def test_submit_by_curl(walk: Walk, typed: list[Result]) -> None:
    (said,) = [json.loads(result.out) for result in typed]
    assert said["success"] is True
    assert said["manifest_path"] == f"{QUEUE}/to_be_processed/{said['job_id']}"
    walk.until(f"test -f {QUEUE}/processed/*/{said['job_id']}.report.json")


def test_validate_by_curl(typed: list[Result]) -> None:
    (said,) = [json.loads(result.out) for result in typed]
    assert (said["valid"], said["errors"]) == (True, [])


# -- the daemon ---------------------------------------------------------------------------------------


def test_the_daemon_starts_and_ends(typed: list[Result]) -> None:
    """Three starts; each but the first ended the one before, by SIGTERM."""
    assert [result.status for result in typed] == [0, 0, 0], typed[-1].err


def test_the_directories(walk: Walk, typed: list[Result]) -> None:
    assert [(result.status, result.err) for result in typed] == [(0, "")] * 2
    for name in ("to_be_processed", "processing", "processed", "failed"):
        assert walk.bash(f"test -d {QUEUE}/{name} && stat -c %U {QUEUE}/{name}").out == "root\n"


def test_each_line_of_the_configuration(walk: Walk) -> None:
    assert walk.bash("cat /etc/hyper2kvm/workflow-daemon.yaml").out == CONFIGURATION
    checked = walk.bash("hypersdkd --check-config")
    assert (checked.status, "/etc/hyper2kvm/workflow-daemon.yaml" in checked.out + checked.err) == (0, True)
    settings = yaml.safe_load(CONFIGURATION)
    status = json.loads(walk.bash("hyperctl workflow status --json").out)
    assert (status["mode"], status["mode_reason"]) == (settings["mode"], "set in the configuration")
    assert status["base_dir"] == settings["workflow"]["base_dir"]
    assert status["max_workers"] == settings["workflow"]["max_workers"]


def test_a_conversion_runs_through(walk: Walk) -> None:
    """The first job that hyperctl submitted: converted, checked, and what the source holds."""
    (job,) = [row for row, result in walk.results if row.command.startswith("hyperctl manifest submit")]
    (said,) = [result.out for row, result in walk.results if row is job]
    (name,) = [line.split(": ")[1] for line in said.splitlines() if line.startswith("Job ID: ")]
    walk.until(f"test -f {QUEUE}/processed/*/{name}.report.json")
    report = json.loads(walk.bash(f"cat {QUEUE}/processed/*/{name}.report.json").out)
    assert report["status"] == "completed"
    stages = {stage: report["stages"][stage]["status"] for stage in ("load", "convert", "validate")}
    assert set(stages.values()) == {"completed"}
    assert {"inspect", "fix"} < set(report["stages"])
    same = walk.bash(f"qemu-img compare vm.source.raw {report['artifacts']['output']}")
    assert (same.status, same.out) == (0, "Images are identical.\n")


def test_one_queue_of_three_ways_in(walk: Walk) -> None:
    """A file that is moved in is a job like those that hyperctl and the API submitted."""
    assert walk.bash(f"cp manifest.json moved.json && mv moved.json {QUEUE}/to_be_processed/").status == 0
    walk.until(f"test -f {QUEUE}/processed/*/moved.json.report.json")
    listed = json.loads(walk.bash("hyperctl workflow list --json --status completed").out)
    assert len({job["id"] for job in listed["jobs"]}) >= 5


def test_metrics_of_the_walk(walk: Walk) -> None:
    said = walk.bash("curl -fs http://localhost:8080/metrics").out
    assert float(re.findall(r'^hypersdkd_jobs\{state="completed"\} (\S+)$', said, re.MULTILINE)[0]) >= 1
