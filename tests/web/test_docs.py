"""``docs/api.md`` and the table of endpoints say the same, and the examples are what the daemon sends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hypersdkd.engine.plugins import Plugins
from hypersdkd.model.job import GuestProgress, JobState, JobSummary
from hypersdkd.model.problem import CODES, Problem
from hypersdkd.model.replies import JobDetail
from hypersdkd.web.endpoint import COMMON_ERRORS
from hypersdkd.web.endpoints import ENDPOINTS as OWN_ENDPOINTS
from hypersdkd.web.errors import problem_reply
from hypersdkd.web.plugin_endpoints import published
from hypersdkd.web.request import STATUS_WORDS
from tests.golden.real_daemon import daemon_on
from tests.web.raw import ask


class BuiltIn:
    """The endpoints of the plugins that come along; see ``hypersdkd.spec.service.PluginEndpoints``."""

    def all(self):
        return [endpoint for _record, endpoint in Plugins.load().endpoints.values()]


ENDPOINTS = (*OWN_ENDPOINTS, *published(BuiltIn()))

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
PREFACE, *_SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
SECTIONS = {section.splitlines()[0]: section for section in _SECTIONS}


def example(section: str) -> dict:
    """The one JSON example of a section."""
    (found,) = re.findall(r"```json\n(.*?)```", section, flags=re.DOTALL)
    return json.loads(found)


def test_both_ways():
    assert list(SECTIONS) == [f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS]


@pytest.mark.parametrize("title", SECTIONS)
def test_each_section_has_an_example_call_of_its_address(title):
    method, path = title.split()
    call = re.search(r"```sh\n(curl .*)\n```", SECTIONS[title])
    assert call, title
    address = re.escape("http://localhost:8080" + path).replace(r"\{id\}", r"[^/ ]+").replace(r"\{n\}", r"\d+")
    assert re.search(rf"{address}(\?[^ ]*)?'?$", call[1])
    assert (method == "POST") == ("-X POST" in call[1] or "--data-binary" in call[1])


async def test_examples_have_the_fields_of_the_daemons_replies(tmp_path):
    async with daemon_on(tmp_path / "queue", "manifest") as address:
        for endpoint in ENDPOINTS:
            if "{id}" in endpoint.path or endpoint.path == "/readyz" or re.search("manifest/|/schema$", endpoint.path):
                continue
            # longer than an example should be, or without an end
            if endpoint.path in {"/api/openapi.json", "/api/docs", "/api/workflow/events", "/metrics"}:
                continue
            reply = (await ask(address, endpoint.method, endpoint.path)).json
            assert set(example(SECTIONS[f"{endpoint.method} {endpoint.path}"])) == set(reply), endpoint.path


def test_rows_and_guests_of_the_examples():
    row = JobSummary("a.json", JobState.PROCESSING).as_dict()
    active = example(SECTIONS["GET /api/workflow/jobs/active"])["jobs"][0]
    assert set(active) == set(example(SECTIONS["GET /api/workflow/jobs"])["jobs"][0]) == set(row)
    assert set(active["vms"][0]) == set(GuestProgress("a", JobState.PROCESSING).as_dict())
    detail = JobDetail(JobSummary("a.json", JobState.PENDING), "", "", 0, None, None).as_dict()
    assert set(example(SECTIONS["GET /api/workflow/jobs/{id}"])) == set(detail)


def test_the_error_example():
    reply = json.loads(problem_reply(Problem("job-state", "x")).body)
    shown = example(PREFACE)
    assert set(shown) == set(reply)
    assert (shown["type"], shown["title"], shown["status"]) == (reply["type"], reply["title"], reply["status"])
    assert set(shown["problems"][0]) == set(reply["problems"][0])


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_errors_and_parameters_of_a_section_are_those_of_the_table(endpoint):
    section = SECTIONS[f"{endpoint.method} {endpoint.path}"]
    for status, code in re.findall(r"\b([45]\d\d) `([a-z-]+)`", section):
        assert code in endpoint.errors + COMMON_ERRORS
        assert int(status) == CODES[code].http
    told = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
    queries = {each.name for each in endpoint.parameters if each.place == "query"}
    assert told <= queries
    assert [each.name for each in endpoint.parameters if each.name not in section] == []


def test_codes_and_words_that_are_named_exist():
    named = set(re.findall(r"\b[45]\d\d `([a-z-]+)`", TEXT))
    assert named >= {"job-unknown", "job-state", "not-ready", "document-too-large"}
    assert named <= set(CODES)
    assert all(f"`{word}`" in SECTIONS["GET /api/workflow/jobs"] for word in STATUS_WORDS)
