"""A document of the queue judged: a manifest by all plugins together, a job config by its own rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.model.job_config import read_job_config
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import JOB_CONFIG, Validation

#: Seconds after which rules that gave no answer are asked again.
_RETRY: Final = 5.0


async def validate(
    calls: HookCalls, text: bytes, syntax: str, *, mode: str = "manifest", urgent: bool = True
) -> Validation:
    """Judge a document as ``mode`` takes it: disk mode takes what is no manifest for a job config.

    A manifest is judged by every plugin; problems and warnings add up, the guests are those of the first that has
    any. ``urgent``: a job waits for it, before whom nobody who only asks is served. Raises ``rules-unavailable``,
    with ``retry_after``, when no plugin said what is to be run: that is no judgement of the manifest.
    """
    judged = await asyncio.to_thread(read_job_config, text, syntax) if mode == "disk" else None
    if judged is None:
        judged = await _by_plugins(calls, text, syntax, urgent=urgent)
    return replace(judged, warnings=(*judged.warnings, *_unreadable(judged, calls.readable_types)))


async def _by_plugins(calls: HookCalls, text: bytes, syntax: str, *, urgent: bool) -> Validation:
    answers = await calls.each("hypersdkd_validate_manifest", urgent=urgent, text=text, syntax=syntax)
    judgements = [answer for _record, answer in answers if isinstance(answer, Validation)]
    if not any(answer.problems or answer.guests for answer in judgements):
        raise ProblemError(Problem("rules-unavailable", "no plugin judged the manifest"), retry_after=_RETRY)
    return merge(judgements)


def _unreadable(validation: Validation, readable: frozenset[str]) -> Iterator[Problem]:
    """A warning for each source type that is well known and that no loaded plugin reads."""
    rows, place = ("jobs", "input") if validation.taken_for == JOB_CONFIG else ("vms", "pipeline.load")
    where = {
        disk.source_type: f"{rows}[{number}].{place}" if validation.batch else place
        for number, guest in reversed(list(enumerate(validation.guests)))
        for disk in guest.disks
    }
    for source_type, path in sorted(where.items()):
        if source_type not in readable:
            yield Problem(
                "source-type-unknown",
                f"no loaded plugin reads source type {source_type}: its guests will fail in LOAD",
                remedy=f"Convert the source first; read here: {', '.join(sorted(readable)) or 'none'}.",
                path=path,
            )


def merge(answers: Sequence[Validation]) -> Validation:
    """Put answers together, of which there is at least one."""
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
        taken_for=lead.taken_for,
    )
