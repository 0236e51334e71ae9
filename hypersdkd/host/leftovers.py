"""What a former hypervisor leaves in a guest's files that hinders it elsewhere; each function is text to text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: Services of VMware's, VirtualBox's and Hyper-V's guest tools: names of systemd's units, and of init scripts.
SERVICES: Final = frozenset(
    {
        "open-vm-tools",
        "vmtoolsd",
        "vgauthd",
        "vgauth",
        "vmware-tools",
        "vmware-tools-thinprint",
        "run-vmblock\\x2dfuse",
        "vboxadd",
        "vboxadd-service",
        "vboxadd-x11",
        "vboxservice",
        "virtualbox-guest-utils",
        "virtualbox-guest-x11",
        "hv-kvp-daemon",
        "hv-vss-daemon",
        "hv-fcopy-daemon",
        "hv_kvp_daemon",
        "hv_vss_daemon",
        "hv_fcopy_daemon",
        "hypervkvpd",
        "hypervvssd",
        "hypervfcopyd",
    }
)

_SHARE: Final = re.compile(
    r"^([ \t]*[^\s#]\S*[ \t]+\S+[ \t]+(?:fuse\.vmhgfs-fuse|vmhgfs|vboxsf)[ \t]+)"
    r"(?!(?:\S*,)?(?:nofail|noauto)(?:,|\s|$))(\S+)",
    re.MULTILINE,
)
_DISPLAY: Final = re.compile(r"^([ \t]*Driver[ \t]+\")(?:vmware|vboxvideo)(\")", re.MULTILINE | re.IGNORECASE)
_BLOCKED: Final = re.compile(
    r"^(?=[ \t]*(?:blacklist[ \t]+virtio\w*|install[ \t]+virtio\w*[ \t]+(?:/usr)?/bin/(?:true|false))[ \t]*\r?$)",
    re.MULTILINE,
)
_WANTED: Final = re.compile(r"^[ \t]*WantedBy[ \t]*=[ \t]*(.*)$", re.MULTILINE)
_UNIT: Final = re.compile(r"[\w@:.\\-]{1,200}\.(?:target|device|service)")
_SCRIPT: Final = re.compile(r"S(\d\d)(.+)")


def service_of(unit: str) -> str:
    """The service that a unit file or an init script's link is of, as :data:`SERVICES` has it; else empty."""
    name = unit.rpartition(".")[0] if unit.endswith((".service", ".mount")) else unit
    return name if name in SERVICES else ""


def stopped_link(name: str) -> str:
    """The name of a link that stops an init script, for the name of one that starts it; empty for any other name."""
    match = _SCRIPT.fullmatch(name)
    return f"K{match.group(1)}{match.group(2)}" if match and match.group(2) in SERVICES else ""


def shares_optional(text: str) -> str:
    """fstab whose folders of the former host need not be there: without them systemd would go to its emergency mode."""
    return _SHARE.sub(r"\1\2,nofail", text)


def display_driver_replaced(text: str) -> str:
    """X's configuration with a driver for any display in place of VMware's or VirtualBox's."""
    return _DISPLAY.sub(r"\1modesetting\2", text)


def virtio_unblocked(text: str) -> str:
    """modprobe's configuration that keeps no virtio driver from being loaded."""
    return _BLOCKED.sub("# ", text)


def wanted_by(unit: str) -> Iterator[str]:
    """The units that want one once it is enabled, of the text of its file."""
    for match in _WANTED.finditer(unit):
        yield from (name for name in match.group(1).split() if _UNIT.fullmatch(name))
