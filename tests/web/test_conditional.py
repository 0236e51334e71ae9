"""ETag and If-None-Match: nothing is sent twice, and nothing new is kept from a client."""

from __future__ import annotations

import asyncio

import pytest

from tests.golden.real_daemon import daemon_on
from tests.web.raw import Reply, ask

STATUS = "/api/workflow/status"
JOBS = "/api/workflow/jobs?status=all"
ACTIVE = "/api/workflow/jobs/active"


async def again(address: str, path: str, reply: Reply) -> Reply:
    """Ask with the tag of an earlier reply."""
    return await ask(address, "GET", path, headers={"If-None-Match": reply.headers["Etag"]})


@pytest.mark.parametrize("path", [JOBS, ACTIVE])
async def test_a_list_that_has_not_changed_is_not_even_made(url, workflow, path):
    workflow.version = "a1v7"
    reply = await ask(url, "GET", path)
    assert (reply.status, reply.headers["Etag"]) == (200, 'W/"a1v7"')
    calls = len(workflow.calls)
    same = await again(url, path, reply)
    assert (same.status, same.body, same.headers["Etag"]) == (304, b"", 'W/"a1v7"')
    assert len(workflow.calls) == calls
    workflow.version = "a1v8"
    assert (await again(url, path, reply)).status == 200
    workflow.version = ""
    assert "Etag" not in (await again(url, path, reply)).headers


@pytest.mark.parametrize(
    ("header", "status"),
    [('"x", W/"a1"', 304), ("*", 304), ('"a1"', 304), ('"a11"', 200), ("a1", 200), ('W/"', 200), ("", 200), (",", 200)],
)
async def test_the_forms_of_the_header(url, workflow, header, status):
    workflow.version = "a1"
    assert (await ask(url, "GET", JOBS, headers={"If-None-Match": header})).status == status


async def test_a_wrong_query_is_told_whatever_the_client_has(url, workflow):
    workflow.version = "a1"
    reply = await ask(url, "GET", "/api/workflow/jobs?limit=0", headers={"If-None-Match": "*"})
    assert (reply.status, reply.json["code"]) == (400, "request-invalid")


async def test_the_real_lists_and_numbers_change_their_tags_when_they_change(tmp_path):
    base = tmp_path / "queue"
    ended = base / "failed" / "2026-01-02"
    ended.mkdir(parents=True)
    (ended / "old.json").write_text("{}")

    async with daemon_on(base, "manifest") as address:

        async def changed(path: str, reply: Reply) -> Reply:
            """The first reply that is not a 304."""
            async with asyncio.timeout(20):
                while (found := await again(address, path, reply)).status == 304:
                    await asyncio.sleep(0.01)
            return found

        status, jobs, active = [await ask(address, "GET", path) for path in (STATUS, JOBS, ACTIVE)]
        for path, reply in ((STATUS, status), (JOBS, jobs), (ACTIVE, active)):
            assert (await again(address, path, reply)).status == 304
        (base / "to_be_processed" / "a.json").write_text("{}")
        assert (await changed(STATUS, status)).json["queue_depth"] == 1
        jobs = await changed(JOBS, jobs)
        while jobs.json["total"] != 2:
            jobs = await changed(JOBS, jobs)
        # a record that comes after its file, as another daemon's does, is no change of the files
        (ended / "old.json.error.json").write_text('{"error": "too late", "status": "failed"}')
        async with asyncio.timeout(20):
            while jobs.json["jobs"][-1]["error"] != "too late":
                jobs = await changed(JOBS, jobs)
        # what another daemon works on changes all the time
        (base / "processing" / "foreign.json").write_text("{}")
        async with asyncio.timeout(20):
            while "Etag" in (await ask(address, "GET", ACTIVE)).headers:
                await asyncio.sleep(0.01)
        only = "/api/workflow/jobs?status=failed"
        assert (await again(address, only, await ask(address, "GET", only))).status == 304


async def test_tags_of_another_daemon_are_not_ours(tmp_path):
    tags = set()
    for _ in range(2):
        async with daemon_on(tmp_path / "queue", "manifest") as address:
            tags.add((await ask(address, "GET", JOBS)).headers["Etag"])
    assert len(tags) == 2
