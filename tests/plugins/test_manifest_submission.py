"""Submissions: file names and contents as the Go API made them, but no name that leaves the queue or hides."""

import json
import re
import time

import pytest
from hypersdkd_plugins.manifest_submission import (
    MAX_NAME_BYTES,
    canonical_json,
    file_name_part,
    hypersdkd_submit_manifest,
)
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.manifest import read_manifest, submit_phrase
from hypersdkd.model.problem import CODES, ProblemError
from hypersdkd.model.replies import Receipt
from hypersdkd.spec.types import Submission
from tests.golden.departures import DEPARTURES
from tests.golden.exchanges import Exchange, posts_to

#: Those about the queue's directories, which are not this plugin's business.
ELSEWHERE = {"submit-directory-is-a-file"}

SUBMIT = [
    exchange
    for exchange in posts_to("/api/workflow/manifest/submit")
    if not exchange.bug and exchange.name not in ELSEWHERE
]


class Drop:
    """A queue in memory."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self.files: dict[str, bytes] = {}
        self.taken = taken

    def put(self, name: str, content: bytes) -> Receipt:
        if name in self.files or name in self.taken:
            raise FileExistsError(name)
        self.files[name] = content
        return Receipt(f"/queue/{name}", name)


def submit(document: dict[str, object], drop: Drop) -> Receipt | None:
    name = document.get("name")
    text = json.dumps(document).encode()
    return hypersdkd_submit_manifest(Submission(text, document, name if isinstance(name, str) else ""), drop)


def without_time(name: str) -> str:
    return re.sub(r"\d{8}-\d{6}", "${TIMESTAMP}", name)


def answer(exchange: Exchange) -> tuple[int, object, dict[str, str]]:
    """Status, job ID or text, and the files written."""
    validation = read_manifest(exchange.body)
    if not validation.valid:
        first = validation.problems[0]
        return CODES[first.code].http, submit_phrase(first), {}
    drop = Drop()
    submission = Submission(exchange.body, dict(validation.document), validation.name)
    try:
        receipt = hypersdkd_submit_manifest(submission, drop)
    except ProblemError as error:
        return CODES[error.problem.code].http, submit_phrase(error.problem), {}
    assert receipt is not None
    return 200, without_time(receipt.job_id), {without_time(name): text.decode() for name, text in drop.files.items()}


def agrees(exchange: Exchange) -> bool:
    status, reply, files = answer(exchange)
    if status != exchange.status:
        return False
    if isinstance(exchange.answer, dict):
        written = {name.rpartition("/")[2]: text for name, text in exchange.files_after.items()}
        return reply == exchange.answer["job_id"] and files == written
    expected = str(exchange.answer).strip()
    if expected.startswith("Invalid JSON: "):
        return str(reply).startswith("Invalid JSON: ")
    return reply == expected


def test_there_are_recordings() -> None:
    assert len(SUBMIT) > 70


@pytest.mark.parametrize("exchange", SUBMIT, ids=lambda exchange: exchange.name)
def test_submit_answers_as_recorded(exchange: Exchange) -> None:
    if exchange.name in DEPARTURES:
        assert not agrees(exchange), f"no departure any more: {DEPARTURES[exchange.name]}"
    else:
        assert agrees(exchange), (answer(exchange), exchange.answer, exchange.files_after)


def test_the_time_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    try:
        before = time.strftime("%Y%m%d-%H%M")
        receipt = submit({"name": "web"}, Drop())
        after = time.strftime("%Y%m%d-%H%M")
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert receipt is not None
    assert receipt.job_id[4:17] in (before, after)


def test_a_name_that_is_taken_gets_a_number_before_the_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20260102-030405")
    drop = Drop()
    for _ in range(3):
        submit({"name": "twin"}, drop)
    assert list(drop.files) == [
        "twin-20260102-030405.json",
        "twin-20260102-030405-2.json",
        "twin-20260102-030405-3.json",
    ]


@pytest.mark.parametrize(
    "name",
    ["../../evil", "/evil", "a/b", ".hidden", "..", "a\nb", "a\0b", "a\x1b[31m", "a\x9bm", "a\u2028b", "n" * 176],
)
def test_a_name_that_cannot_be_a_visible_files_is_refused(name: str) -> None:
    drop = Drop()
    with pytest.raises(ProblemError) as caught:
        submit({"name": name}, drop)
    problem = caught.value.problem
    assert (problem.code, problem.path) == ("name-invalid", "name")
    assert problem.message.isprintable()
    assert not drop.files


@given(st.text(max_size=200))
def test_any_name_is_refused_or_makes_one_plain_file_name(name: str) -> None:
    try:
        part = file_name_part(name)
    except ProblemError:
        return
    assert part == (name or "manifest")
    assert "/" not in part
    assert not part.startswith(".")
    assert len(part.encode()) <= MAX_NAME_BYTES


def test_the_content_keeps_every_value() -> None:
    document: dict[str, object] = {"b": [12345678901234567890, 1.5, {}, []], "a": "</script>&\u2028é", "c": None}
    content = canonical_json(document)
    assert json.loads(content) == document
    assert content.startswith(
        b'{\n  "a": "\\u003c/script\\u003e\\u0026\\u2028\xc3\xa9",\n  "b": [\n    12345678901234567890,'
    )
    assert not content.endswith(b"\n")


def test_yaml_becomes_json() -> None:
    validation = read_manifest(b"version: '1.0'\nname: web\npipeline: {}")
    drop = Drop()
    submit(dict(validation.document), drop)
    (content,) = drop.files.values()
    assert json.loads(content) == {"version": "1.0", "name": "web", "pipeline": {}}
