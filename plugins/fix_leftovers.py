"""FIX: the former hypervisor's guest tools stay installed and start no more; KVM's agent starts if it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypersdkd.host import leftovers
from hypersdkd.spec.fixing import edit, files_in, present, text_of
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer

_UNITS: Final = "/etc/systemd/system"
_AGENT: Final = "qemu-guest-agent.service"
_PACKAGED_UNITS: Final = ("/usr/lib/systemd/system", "/lib/systemd/system")

#: Where init scripts are linked: Debian's way, Red Hat's, SUSE's.
_RUN_LEVELS: Final = ("/etc/rc{}.d", "/etc/rc.d/rc{}.d", "/etc/init.d/rc{}.d")


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it after all that the guest needs to boot."""
    return (Fixer("leftovers", "leftovers", fix_leftovers, order=400),)


def fix_leftovers(context: FixContext) -> None:
    """Nothing is removed but links that start a service."""
    _disable_units(context)
    _disable_scripts(context)
    edit(context, "/etc/fstab", leftovers.shares_optional)
    for path in ("/etc/X11/xorg.conf", *files_in(context, "/etc/X11/xorg.conf.d", ".conf")):
        edit(context, path, leftovers.display_driver_replaced)
    for path in ("/etc/modprobe.conf", *files_in(context, "/etc/modprobe.d", ".conf")):
        edit(context, path, leftovers.virtio_unblocked)
    _enable_agent(context)


def _disable_units(context: FixContext) -> None:
    system = context.system
    names = system.names(_UNITS)
    wanting = [f"{_UNITS}/{name}" for name in names if name.endswith((".wants", ".requires"))]
    for directory in (_UNITS, *wanting):
        for path in (f"{directory}/{name}" for name in system.names(directory) if leftovers.service_of(name)):
            if system.target(path) not in {None, "/dev/null"}:
                system.remove(path)


def _disable_scripts(context: FixContext) -> None:
    system = context.system
    units = {name for place in _PACKAGED_UNITS for name in system.names(place)}
    for directory in present(context, (place.format(level) for place in _RUN_LEVELS for level in range(7))):
        for name in system.names(directory):
            stopped = leftovers.stopped_link(name)
            if not stopped or f"{stopped[3:]}.service" in units:
                continue  # systemd passes over a script beside a unit of its name
            if target := system.target(f"{directory}/{name}"):
                system.remove(f"{directory}/{name}")
                system.link(f"{directory}/{stopped}", target)
    if system.kind("/etc/init/vmware-tools.conf") and not system.kind("/etc/init/vmware-tools.override"):
        system.write("/etc/init/vmware-tools.override", b"manual\n")


def _enable_agent(context: FixContext) -> None:
    """As systemctl does; an administrator who masked it had a reason."""
    path = next((f"{place}/{_AGENT}" for place in _PACKAGED_UNITS if context.system.kind(f"{place}/{_AGENT}")), "")
    if not path or context.system.kind(f"{_UNITS}/{_AGENT}"):
        return
    for wanting in leftovers.wanted_by(text_of(context, path) or ""):
        context.system.link(f"{_UNITS}/{wanting}.wants/{_AGENT}", path)
