"""What would keep a valid manifest's guests from running now: told to who validates it, before the job fails of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hypersdkd.engine.plan import Places, plan
from hypersdkd.host.image_source import require_inside
from hypersdkd.model.guest import Guest
from hypersdkd.model.problem import Problem, ProblemError, fail
from hypersdkd.model.replies import JOB_CONFIG, Validation

#: Guests that are looked at: each is a few looks at files, and a reader of the reply has seen enough by then.
_LOOKED_AT: Final = 100

#: What a user can tell from, of all that may stand in a guest's way; what is being written or changed is ready later.
_CODES: Final = frozenset(
    {"source-outside", "source-missing", "source-not-regular", "source-unreadable", "output-outside", "output-exists"}
)


def outlook(validation: Validation, places: Places) -> Iterator[Problem]:
    """A warning for each guest that could not run now. Looks at files: call it off the loop.

    Nothing is told of what lies where neither sources nor outputs may: who may validate need not be allowed to see it.
    """
    rows, place = ("jobs", "input") if validation.taken_for == JOB_CONFIG else ("vms", "pipeline.load")
    for number, guest in enumerate(validation.guests[:_LOOKED_AT]):
        problem = _in_the_way(guest, places)
        if problem is None or problem.code not in _CODES:
            continue
        where = place if problem.code.startswith("source-") else problem.path
        path = f"{rows}[{number}].{where}" if validation.batch else where
        message = f"as things are now, the job would fail: {problem.message}"
        yield Problem(problem.code, message, remedy=problem.remedy, path=path)


def _in_the_way(guest: Guest, places: Places) -> Problem | None:
    try:
        for disk in guest.disks:
            if disk.source_path.startswith("/"):
                require_inside(disk.source_path, places.source_roots)
    except ProblemError as error:
        return error.problem
    except ValueError:
        return None  # which the job will say
    (planned,) = plan("", [guest], places, lambda _output: False)
    problem = planned.problem
    if problem is None or (problem.code == "output-exists" and not guest.name):  # called after its job, then
        return None
    if problem.code == "output-outside":
        message = f"{guest.output_path} is outside the output directories"
        remedy = f"Use a path below {places.output}, or name its directory in the configuration's workflow.output_dirs."
        return fail(problem.code, message, remedy=remedy, path=problem.path).problem
    beside = any(not disk.source_path.startswith("/") for disk in guest.disks)
    return None if beside and problem.code == "source-missing" else problem  # it may be dropped along with it
