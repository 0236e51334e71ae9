"""FIX by virt-v2v: for a Windows, and for any guest whose manifest asks for it by ``fix.engine: virt-v2v``.

It changes the overlay that the fixers would change, so the source stays as it is, and CONVERT and VALIDATE are the
same as for any other guest. What it does is its own: no part of ``fix`` switches anything of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from hypersdkd.host import virt_v2v
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.guest_wishes import ENGINES, fix_wanted, virt_v2v_asked, virt_v2v_wanted
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import LentDisks, StepContext
from hypersdkd.spec.types import Step


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """The step of FIX that takes the fixers' place; it is known by the engine's name."""
    return (Step(ENGINES[1], Stage.FIX, fix_guest, order=50, wanted=fix_wanted, require=require),)


def require(guest: Guest) -> None:
    """Raises ``tool-missing`` where virt-v2v is asked for and is not there. That a guest is a Windows, which needs
    more, is only known when it was looked at."""
    if virt_v2v_asked(guest):
        virt_v2v.program()


def fix_guest(context: StepContext) -> None:
    """Have virt-v2v change the guest, if it is one of its.

    Raises ``tool-missing``, ``virtio-win-missing`` and ``virt-v2v-failed``; where FIX was not asked for by a manifest
    that is a warning, and the disks are converted as they are.
    """
    try:
        facts = context.system.facts
        if virt_v2v_wanted(context.guest, facts.os_type):
            _fix(context, facts)
    except ProblemError as error:
        if not context.guest.fix_if_possible or error.problem.code == "source-changed":
            raise
        context.warn(error.problem)


def _fix(context: StepContext, facts: GuestFacts) -> None:
    version = virt_v2v.version()
    windows = facts.os_type == "windows"
    if windows:
        virt_v2v.require_windows()
        message = f"{one_line(facts.product or 'Windows')}: virt-v2v changes it; hypersdkd was not tested with Windows"
        context.warn(Problem("guest-windows", message))
    context.tool("virt-v2v", version)
    if context.guest.dry_run:
        context.finding("virt_v2v", {"version": version, "seconds": 0, "plan": "not known before it is done"})
        return
    begin = time.monotonic()
    context.change_disks(partial(_change, context, facts))
    context.finding("virt_v2v", {"version": version, "seconds": round(time.monotonic() - begin, 1)})


def _change(context: StepContext, facts: GuestFacts, lent: LentDisks) -> None:
    work = virt_v2v.Work(
        overlays=lent.overlays,
        root=facts.root,
        directory=context.work,
        environment=lent.environment,
        encrypted=[device.device for device in facts.devices if device.content == "crypto_LUKS"],
        keys=lent.keys,
    )

    def watch() -> None:
        for disk in context.disks:
            for file in disk.files:
                if file.broken():
                    raise fail("source-changed", f"somebody opened {file.path.name} for writing while it was read")

    for warning in virt_v2v.change(work, lambda percent: context.progress(percent, 100), context.log, watch):
        context.warn(Problem("virt-v2v-warning", f"virt-v2v: {warning}"))
    context.progress(100, 100)
