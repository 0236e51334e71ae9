"""FIX: fstab, crypttab and the like name file systems by what lies in them, not by the bus that the disk was on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypersdkd.host.fstab import (
    Edited,
    stabilized_crypttab,
    stabilized_fstab,
    stabilized_resume,
    virtio_accepted,
)
from hypersdkd.host.stable_names import StableNames
from hypersdkd.model.problem import Problem, one_line
from hypersdkd.spec.fixing import edit
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer

#: Debian's initramfs, and uswsusp.
_RESUME_FILES = ("/etc/initramfs-tools/conf.d/resume", "/etc/suspend.conf", "/etc/uswsusp.conf")

#: LVM's list of disks by their serial numbers, of RHEL 9 and its like. Without it LVM looks at all disks.
_LVM_DEVICES = "/etc/lvm/devices/system.devices"


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it as the first: what it finds is plain before anything is rebuilt from these files."""
    return (Fixer("fstab", "fstab", fix_fstab, order=100),)


def fix_fstab(context: FixContext) -> None:
    """Mode ``stabilize-all`` does all of it, ``bypath-only`` the lines of fstab that name a device by its path."""
    names = StableNames(context.system.facts.devices)
    if context.options.get("mode") == "bypath-only":
        _stabilize(context, "/etc/fstab", lambda text: stabilized_fstab(text, names, only_by_path=True))
        return
    _stabilize(context, "/etc/fstab", lambda text: stabilized_fstab(text, names))
    _stabilize(context, "/etc/crypttab", lambda text: stabilized_crypttab(text, names))
    for path in _RESUME_FILES:
        _stabilize(context, path, lambda text: stabilized_resume(text, names))
    edit(context, "/etc/lvm/lvm.conf", virtio_accepted)
    if context.system.kind(_LVM_DEVICES) == "file":
        context.system.remove(_LVM_DEVICES)


def _stabilize(context: FixContext, path: str, change: Callable[[str], Edited]) -> None:
    unknown: list[str] = []

    def changed(text: str) -> str:
        after, names = change(text)
        unknown.extend(names)
        return after

    edit(context, path, changed)
    if unknown:
        shown = one_line(", ".join(unknown[:10]))
        context.warn(Problem("guest-device-unknown", f"{path} names devices that are not known for certain: {shown}"))
