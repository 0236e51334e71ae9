"""Every call of docs/api.md, as it stands there, gets what the page promises from the daemon of the walk."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from tests.seed.table import ROOT
from tests.seed.walk import QUEUE, Walk

pytestmark = pytest.mark.system

CALLS = re.findall(r"^(curl .*http://localhost:8080/.*)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)

#: What the page calls its job and its disk.
JOB, DISK = re.compile(r"web01-\d{8}-\d{6}\.json"), "/srv/web01.vmdk"

#: A screenshot as a boot test would leave it: in the guest's directory, and told of in the job's record.
SCREENSHOT = """
import json, pathlib, sys
report, guest = map(pathlib.Path, sys.argv[1:])
(guest / "artifacts").mkdir(exist_ok=True)
(guest / "artifacts/boot.png").write_bytes(b"png")
record = json.loads(report.read_bytes())
record["vms"][0]["files"].append({"kind": "screenshot", "path": f"{guest}/artifacts/boot.png", "bytes": 3})
report.write_text(json.dumps(record))
"""

#: Calls that change something: taken up now, done later; and one that has no end.
LATER, ENDLESS = re.compile(r"/(cancel|retry|pause|resume)$"), "curl -N "


@pytest.fixture(scope="module")
def held(walk: Walk) -> Walk:
    """The daemon is paused by the page's own call, so that one job waits: to be cancelled and retried."""
    assert walk.bash("curl -fX POST http://localhost:8080/api/workflow/pause").status == 0
    report, guest = f"{QUEUE}/processed/*/done.json.report.json", f"{QUEUE}/.hypersdkd/jobs/done.json/*1"
    assert walk.bash(f"python3 -c {shlex.quote(SCREENSHOT)} {report} {guest}").status == 0
    assert walk.bash(f"cp manifest.json held.json && mv held.json {QUEUE}/to_be_processed/").status == 0
    walk.until("curl -s http://localhost:8080/api/workflow/queue | grep -q held.json")
    return walk


@pytest.mark.parametrize("call", CALLS)
def test_it_gets_what_it_is_for(held: Walk, call: str) -> None:
    later, endless = bool(LATER.search(call)), call.startswith(ENDLESS)
    line = JOB.sub("held.json" if later else "done.json", call).replace(DISK, "/path/to/vm.vmdk")
    if call.endswith("readyz"):
        held.bash("curl -X POST http://localhost:8080/api/workflow/resume")
    if call.endswith("/retry"):  # a cancel is done a moment after it was taken up
        held.until('curl -s http://localhost:8080/api/workflow/jobs/held.json | grep -q \'"status": "cancelled"\'')
    done = held.bash(rf"{line} -s -w '\n%{{http_code}} %{{content_type}}' --max-time {1 if endless else 30}")
    body, _newline, told = done.out.rpartition("\n")
    status, content_type = told.split(maxsplit=1)
    assert (status, done.status) == ("202" if later else "200", 28 if endless else 0), done.out
    assert body.strip() or held.bash("cat boot.png").out == "png", "what it is saved as"
    if content_type.startswith("application/json"):
        json.loads(body)
    if endless:
        assert "event: reset" in body


def test_a_job_that_was_cancelled_and_retried_is_converted(held: Walk) -> None:
    """After the page's last calls, which end the pause."""
    held.until(f"test -f {QUEUE}/processed/*/held.json.report.json")


def test_the_page_has_calls() -> None:
    assert len(CALLS) > 20
    assert [call for call in CALLS if call.endswith("/resume")]
