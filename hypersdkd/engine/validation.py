"""A manifest as all plugins judge it together."""

from __future__ import annotations

from collections.abc import Sequence

from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.model.problem import Problem
from hypersdkd.model.replies import Validation


async def validate(calls: HookCalls, text: bytes, syntax: str) -> Validation:
    """Ask every plugin; problems and warnings add up, the guests are those of the first that has any."""
    answers = await calls.each("hypersdkd_validate_manifest", text=text, syntax=syntax)
    return merge([answer for _record, answer in answers if isinstance(answer, Validation)])


def merge(answers: Sequence[Validation]) -> Validation:
    """Put answers together. With none at all nothing is valid: nobody looked."""
    if not answers:
        remedy = "Enable the plugin manifest_rules again; `hyperctl plugins` shows what became of it."
        return Validation(problems=(Problem("plugin-failed", "no plugin judges manifests", "", remedy),))
    lead = next((answer for answer in answers if answer.guests), answers[0])
    ordered = [lead, *(answer for answer in answers if answer is not lead)]
    return Validation(
        problems=tuple(problem for answer in ordered for problem in answer.problems),
        warnings=tuple(warning for answer in ordered for warning in answer.warnings),
        name=lead.name,
        batch=lead.batch,
        guests=lead.guests,
        document=lead.document,
        parsed=all(answer.parsed for answer in answers),
    )
