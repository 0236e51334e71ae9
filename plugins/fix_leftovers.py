"""FIX: the former hypervisor's guest tools stay installed and start no more; KVM's agent starts if it is installed."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final

from hypersdkd.host import leftovers
from hypersdkd.spec.fixing import edit, files_in, text_of
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
    wanting = [path for path in files_in(context, _UNITS) if path.endswith((".wants", ".requires"))]
    for directory in (_UNITS, *wanting):
        for path in files_in(context, directory):
            if leftovers.service_of(posixpath.basename(path)) and system.kind(path) == "link":
                system.remove(path)


def _disable_scripts(context: FixContext) -> None:
    system = context.system
    for directory in (place.format(level) for place in _RUN_LEVELS for level in range(7)):
        for path in files_in(context, directory):
            stopped, target = leftovers.stopped_link(posixpath.basename(path)), system.target(path)
            if stopped and target:
                system.remove(path)
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
