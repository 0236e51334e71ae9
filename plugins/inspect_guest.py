"""INSPECT: what the guest is, how it boots, and early what stands in the way of fixing it."""

from __future__ import annotations

from collections.abc import Sequence

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.guest_hardware import told_firmware
from hypersdkd.model.guest_space import space_problem
from hypersdkd.model.guest_wishes import fix_wanted, inspect_wanted, virt_v2v_wanted
from hypersdkd.model.problem import Problem, ProblemError, one_line
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Step


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """The one step of INSPECT."""
    return (Step("inspect-guest", Stage.INSPECT, inspect_guest, wanted=inspect_wanted),)


def inspect_guest(context: StepContext) -> None:
    """Put the guest's facts into the report.

    Where a manifest asks for FIX whatever makes that impossible fails the guest: raises what ``context.system`` does,
    and ``guest-no-space``. Otherwise it is a warning, and the disks are converted as they are.
    """
    needed = fix_wanted(context.guest) and not context.guest.fix_if_possible
    try:
        facts = context.system.facts
        ours = fix_wanted(context.guest) and not virt_v2v_wanted(context.guest, facts.os_type)
        lack = space_problem(facts) if ours else None
        if lack is not None:
            raise ProblemError(lack)
    except ProblemError as error:
        if needed:
            raise
        context.warn(error.problem)
        return
    context.finding("system", facts.as_dict())
    for warning in _warnings(context, facts):
        context.warn(warning)


def _warnings(context: StepContext, facts: GuestFacts) -> list[Problem]:
    found = []
    told = told_firmware(context.findings)
    if told and told != facts.firmware:
        message = f"the guest was set to {told}, but its disk has a boot loader for {facts.firmware}"
        found.append(Problem("guest-firmware", message))
    by_others = virt_v2v_wanted(context.guest, facts.os_type)
    if fix_wanted(context.guest) and facts.os_type != "linux" and not by_others:
        message = f"{one_line(facts.product or facts.os_type)}: nothing is changed in it, only in Linux and Windows"
        remedy = "Prepare the guest before the export: install the virtio drivers in it."
        found.append(Problem("manifest-unsupported", message, remedy=remedy, path="pipeline.fix"))
    return found
