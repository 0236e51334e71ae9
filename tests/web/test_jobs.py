"""Replies of the job endpoints."""

from __future__ import annotations

from urllib.parse import quote

from tests.web.fake import FAILED, HOSTILE, RUNNING, STARTED
from tests.web.raw import ask

JOBS = "/api/workflow/jobs"


async def test_a_page(url):
    reply = await ask(url, "GET", f"{JOBS}?status=all&limit=2")
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == {"jobs": [RUNNING.as_dict(), FAILED.as_dict()], "total": 3, "cursor": "next"}


async def test_an_empty_page_is_a_list(url, workflow):
    workflow.rows = []
    for path in (JOBS, f"{JOBS}/active", f"{JOBS}?status=failed"):
        assert (await ask(url, "GET", path)).json == {"jobs": [], "total": 0, "cursor": ""}


async def test_active_jobs_have_their_guests_progress_and_ignore_the_query(url):
    (row,) = (await ask(url, "GET", f"{JOBS}/active?status=pending&limit=bogus")).json["jobs"]
    assert (row["id"], row["status"], row["progress"]) == ("web01.json", "processing", 42)
    assert row["vms"] == [RUNNING.guests[0].as_dict()]


async def test_one_job_and_what_belongs_to_it(url):
    path = f"{JOBS}/{quote(HOSTILE.id, safe='')}"
    job = (await ask(url, "GET", path)).json
    assert (job["id"], job["name"], job["attempts"], job["claimed_at"]) == (HOSTILE.id, "a\nb {x} ünï", 1, STARTED)
    (event,) = (await ask(url, "GET", f"{path}/events")).json["events"]
    assert (event["type"], event["seq"], event["file"]) == ("claimed", 1, HOSTILE.id)
    assert (await ask(url, "GET", f"{path}/report")).json == {"id": HOSTILE.id, "status": "completed"}


async def test_the_log_in_both_forms(url):
    path = f"{JOBS}/web01.json/log?lines=2"
    assert (await ask(url, "GET", path)).json == {"lines": ["line 3", "line 4"]}
    text = await ask(url, "GET", path, headers={"Accept": "text/plain; q=1"})
    assert (text.headers["Content-Type"], text.body) == ("text/plain; charset=utf-8", b"line 3\nline 4\n")


async def test_artifacts_are_listed_and_sent_as_files(url):
    listed = (await ask(url, "GET", f"{JOBS}/web01.json/artifacts")).json["artifacts"]
    first = {"number": 0, "vm": "web01", "kind": "input", "path": "/srv/a.vmdk", "bytes": 7, "media_type": None}
    assert (listed[0], len(listed)) == (first, 2)
    sent = await ask(url, "GET", f"{JOBS}/web01.json/artifacts/0")
    assert (sent.status, sent.body, sent.headers["Content-Type"]) == (200, b"\xc3\xbc\n", "text/plain; charset=utf-8")
    name = "filename=\"_n__of_web01.json.log\"; filename*=UTF-8''%C3%BCn%C3%AF%20of%20web01.json.log"
    assert sent.headers["Content-Disposition"] == f"attachment; {name}"
    assert sent.headers["X-Content-Type-Options"] == "nosniff"
    for number in ("1", "-1", "x", "%2e", "9" * 5000):
        reply = await ask(url, "GET", f"{JOBS}/web01.json/artifacts/{number}")
        assert (reply.status, reply.json["code"]) == (404, "artifact-unknown")


async def test_an_unknown_job(url):
    gets = ["", "/events", "/log", "/report", "/artifacts", "/artifacts/0"]
    for method, end in [*(("GET", end) for end in gets), ("POST", "/cancel")]:
        reply = await ask(url, method, f"{JOBS}/none.json{end}")
        assert (reply.status, reply.json["code"]) == (404, "job-unknown")


async def test_cancel_and_retry(url, workflow):
    reply = await ask(url, "POST", f"{JOBS}/web01.json/cancel")
    assert (reply.status, reply.json) == (202, {"success": True, "job_id": "web01.json"})
    reply = await ask(url, "POST", f"{JOBS}/bad.json/retry")
    assert (reply.status, reply.json) == (202, {"success": True, "job_id": "bad.json"})
    reply = await ask(url, "POST", f"{JOBS}/web01.json/retry")
    assert (reply.status, reply.json["code"]) == (409, "job-state")
    assert workflow.calls == [("cancel", "web01.json"), ("retry", "bad.json"), ("retry", "web01.json")]
