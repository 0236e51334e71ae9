"""VALIDATE: libvirt's XML of the converted guest, published beside its disks: ``virsh define`` is all that is left.

It is written for what is a guest: a system was found on its disks, or the source tells its hardware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hypersdkd.host.libvirt_domain import DEFAULT_CPUS, DEFAULT_MEMORY, Domain, domain_xml
from hypersdkd.model.guest_hardware import cards, firmware, number
from hypersdkd.model.problem import Problem, ProblemError, one_line
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StepContext
from hypersdkd.spec.types import Step


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """After the checks of the disks, before the boot test."""
    return (Step("libvirt-domain", Stage.VALIDATE, write_domain, order=800),)


def write_domain(context: StepContext) -> None:
    """Write the XML, if this is a guest. Where it cannot be written the guest is none the worse: a warning."""
    if not _is_guest(context.findings):
        return
    domain = _domain(context)
    try:
        path = context.add_document(".xml", domain_xml(domain))
    except ProblemError as error:
        context.warn(Problem("domain-unwritten", error.problem.message))
        return
    context.finding("domain_xml", one_line(str(path)))
    for network in domain.unmapped():
        context.warn(
            Problem(
                "domain-network",
                f"the source's network {one_line(network)} has no name here; its card is given libvirt's default",
            )
        )


def _is_guest(findings: Mapping[str, object]) -> bool:
    system = findings.get("system")
    return bool(isinstance(system, Mapping) and system.get("os_type")) or bool(
        findings.get("hardware") or findings.get("nics")
    )


def _domain(context: StepContext) -> Domain:
    findings = context.findings
    system = findings.get("system")
    return Domain(
        name=context.guest.name,
        disks=[(Path(output.path), output.format) for output in context.outputs],
        cards=cards(findings),
        networks=context.guest.networks,
        cpus=number(findings, "cpus") or DEFAULT_CPUS,
        memory=number(findings, "memory_bytes") or DEFAULT_MEMORY,
        uefi=firmware(findings) == "uefi",
        local_time=isinstance(system, Mapping) and system.get("os_type") == "windows",
    )
