"""How much free space FIX needs in a guest."""

from __future__ import annotations

from typing import Final

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import Problem

#: Bytes for configuration files and for what a program of the guest leaves.
_ROOT: Final = 16 << 20

#: Bytes for each kernel's initramfs: the virtio drivers and their index have about three MiB, not compressed.
_KERNEL: Final = 8 << 20


def space_problem(facts: GuestFacts) -> Problem | None:
    """``guest-no-space`` if a file system of a Linux guest has too little left for FIX."""
    if facts.os_type != "linux":
        return None
    boot = _KERNEL * len(facts.kernels)
    needed = {"/": _ROOT, "/boot": boot} if "/boot" in facts.mounts else {"/": _ROOT + boot}
    for place, least in needed.items():
        device = facts.device_of(facts.mounts.get(place, ""))
        if device is not None and device.free is not None and device.free < least:
            remedy = f"Free {least - device.free} bytes in {place} of the running guest, and export the disk again."
            return Problem(
                "guest-no-space", f"{place} of the guest has {device.free} bytes free, FIX needs {least}", remedy=remedy
            )
    return None
