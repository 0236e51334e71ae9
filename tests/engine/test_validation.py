"""A manifest as several plugins judge it."""

from __future__ import annotations

import pytest

from hypersdkd.engine.validation import merge, validate
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import Validation

GUEST = Guest("web01", (DiskSource("raw", "/a"),))


def test_problems_add_up_and_the_guests_are_of_the_first_that_has_any() -> None:
    rule = Validation(problems=(Problem("manifest-rejected", "no"),), warnings=(Problem("x", "rule"),))
    core = Validation(guests=(GUEST,), name="web01", document={"a": 1}, warnings=(Problem("y", "core"),))
    merged = merge([rule, core])
    assert not merged.valid
    assert (merged.guests, merged.name, merged.document) == ((GUEST,), "web01", {"a": 1})
    assert [warning.code for warning in merged.warnings] == ["y", "x"]
    assert merge([core]) == core


def test_text_that_one_could_not_parse_is_not_parsed() -> None:
    assert not merge([Validation(parsed=False, problems=(Problem("document-syntax", "x"),)), Validation()]).parsed


class Answers:
    """Stands for the plugins' answers."""

    readable_types = frozenset({"raw", "vmdk"})

    def __init__(self, *answers: object) -> None:
        self.answers = answers
        self.urgent: list[bool] = []

    async def each(self, _hook: str, *, urgent: bool, **_arguments: object) -> list[tuple[None, object]]:
        self.urgent.append(urgent)
        return [(None, answer) for answer in self.answers]


@pytest.mark.parametrize("answers", [(), (None,), (Validation(),), (Validation(warnings=(Problem("x", "y"),)),)])
async def test_what_nobody_looked_at_is_not_judged(answers: tuple[object, ...]) -> None:
    with pytest.raises(ProblemError) as raised:
        await validate(Answers(*answers), b"", "")  # type: ignore[arg-type]
    assert (raised.value.problem.code, raised.value.retry_after) == ("rules-unavailable", 5)


async def test_one_rule_that_refuses_is_a_judgement() -> None:
    refusal = Validation(problems=(Problem("manifest-rejected", "no"),))
    answers = Answers(None, refusal)
    assert await validate(answers, b"", "", urgent=False) == refusal  # type: ignore[arg-type]
    assert answers.urgent == [False]


async def test_disk_mode_takes_for_a_job_config_what_is_no_manifest() -> None:
    refusal = Validation(problems=(Problem("manifest-rejected", "no"),))
    text = b'{"input": "a.raw", "name": "x"}'
    judged = await validate(Answers(refusal), text, "", mode="disk")  # type: ignore[arg-type]
    assert (judged.taken_for, judged.valid, len(judged.guests)) == ("job-config", True, 1)
    assert [warning.path for warning in judged.warnings] == ["name"]
    assert await validate(Answers(refusal), text, "") == refusal  # type: ignore[arg-type]
    assert await validate(Answers(refusal), b'{"vms": []}', "", mode="disk") == refusal  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "path"),
    [(b'{"input": "a.vhd"}', "input"), (b'{"jobs": [{"input": "a.raw"}, {"input": "a.vhd"}]}', "jobs[1].input")],
)
async def test_a_job_config_is_warned_of_types_that_no_loader_reads(text: bytes, path: str) -> None:
    (warning,) = (await validate(Answers(), text, "", mode="disk")).warnings  # type: ignore[arg-type]
    assert (warning.code, warning.path) == ("source-type-unknown", path)


async def test_a_type_that_no_loader_reads_is_told_before_the_job_fails_of_it() -> None:
    guests = tuple(Guest(name, (DiskSource(kind, "/a"),)) for name, kind in (("a", "raw"), ("b", "vhd"), ("c", "vhd")))
    answer = await validate(Answers(Validation(guests=guests, batch=True)), b"", "")  # type: ignore[arg-type]
    assert answer.valid
    (warning,) = answer.warnings
    assert (warning.code, warning.path) == ("source-type-unknown", "vms[1].pipeline.load")
    assert "raw, vmdk" in warning.remedy
