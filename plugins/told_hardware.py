"""LOAD: what a manifest tells of a guest's hardware is found out as if the source told it, unless the source does."""

from __future__ import annotations

from collections.abc import Sequence

from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Step


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """After the loaders."""
    return (Step("told-hardware", Stage.LOAD, tell_hardware),)


def tell_hardware(context: StepContext) -> None:
    """The findings ``hardware`` and ``nics``, for FIX, the boot test and libvirt's XML."""
    for key, value in context.guest.told.items():
        if key not in context.findings:
            context.finding(key, value)
