"""FIX: the kernel finds its root on any hardware, by GRUB 2, GRUB legacy, boot loader entries and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from hypersdkd.host import boot_config
from hypersdkd.host.stable_names import StableNames
from hypersdkd.model.problem import Problem, one_line
from hypersdkd.spec.fixing import attempt, edit, files_in, present, text_of
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer

_DEFAULTS: Final = "/etc/default/grub"

#: Where an EFI system partition is mounted, and boot loader entries lie.
_PARTITIONS: Final = ("/boot", "/boot/efi", "/efi")

#: SUSE's list of where GRUB is put.
_INSTALL: Final = "/etc/default/grub_installdevice"

#: Files by what they are: kinds that ``boot_config`` knows give kernels their arguments.
_FILES: Final[Mapping[str, Sequence[str]]] = {
    "defaults": (_DEFAULTS,),
    "grub": (
        "/boot/grub/grub.cfg",
        "/boot/grub2/grub.cfg",
        "/boot/grub/custom.cfg",
        "/boot/grub2/custom.cfg",
        "/boot/grub/menu.lst",
        "/boot/grub/grub.conf",
        "/etc/grub.d/40_custom",
    ),
    "syslinux": (
        "/boot/extlinux.conf",
        "/boot/extlinux/extlinux.conf",
        "/boot/syslinux/syslinux.cfg",
        "/etc/update-extlinux.conf",
    ),
    "arguments": ("/etc/kernel/cmdline",),
    "environment": ("/boot/grub/grubenv", "/boot/grub2/grubenv"),
    "map": ("/boot/grub/device.map", "/boot/grub2/device.map"),
}

#: Files of GRUB legacy, whose tools need a device.map.
_LEGACY: Final = frozenset({"/boot/grub/menu.lst", "/boot/grub/grub.conf"})


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it after fstab's."""
    return (Fixer("grub", "grub", fix_grub, order=200),)


def fix_grub(context: FixContext) -> None:
    """Edit the texts; no program of the guest is run, so what an administrator wrote by hand stays."""
    unknown: dict[str, str] = {}
    devices = StableNames(context.system.facts.devices)
    stable = _stable(context, devices, unknown)
    serial = context.options.get("serial_console") is True
    files = dict(_files(context))
    edit(context, _INSTALL, lambda text: boot_config.install_devices_stabilized(text, devices))

    def mended(text: str, kind: str) -> str:
        return _mended(stable(text), kind, serial=serial)

    for path, kind in files.items():
        if kind == "map":
            _mend_device_map(context, path, legacy=path.startswith("/boot/grub/") and bool(_LEGACY & files.keys()))
        elif kind == "environment":
            attempt(context, partial(_mend_environment, context, path, partial(mended, kind="grub")))
        else:
            edit(context, path, partial(mended, kind=kind))
    if unknown:
        names = one_line(", ".join(unknown))
        context.warn(Problem("guest-device-unknown", f"the kernel is told of devices that are not known: {names}"))


def _stable(context: FixContext, names: StableNames, unknown: dict[str, str]) -> Callable[[str], str]:
    facts = context.system.facts
    # A kernel without an initramfs knows UUIDs of partitions, but not of file systems.
    bare = bool(facts.kernels) and not any(kernel.initramfs for kernel in facts.kernels)

    def changed(text: str) -> str:
        after, missing = boot_config.stabilized_arguments(text, names, partition=bare)
        unknown.update(dict.fromkeys(missing, ""))
        return after

    return changed


def _mended(text: str, kind: str, *, serial: bool) -> str:
    """A text of that kind as its next reader wants it, with a serial console where one is wanted."""
    if kind in {"defaults", "override"}:
        text = boot_config.uuids_enabled(text)
        return boot_config.default_serial_console_added(text) if serial and kind == "defaults" else text
    if kind == "arguments":  # the file is the arguments alone
        return text if not serial or "console=ttyS" in text else f"{text.rstrip()} {boot_config.SERIAL_CONSOLE}\n"
    return boot_config.serial_console_added(text, kind) if serial else text


def _files(context: FixContext) -> Iterator[tuple[str, str]]:
    """Each file that there is, and its kind."""
    kinds = {path: kind for kind, paths in _FILES.items() for path in paths}
    places = [f"{place}/{name}" for place in _PARTITIONS for name in ("EFI", "loader/entries")]
    directory = f"{_DEFAULTS}.d"
    for path in present(context, [*kinds, *places, directory]):
        if path == directory:
            yield from ((each, "override") for each in files_in(context, path, ".cfg"))
        elif path.endswith("/entries"):
            yield from ((each, "entry") for each in files_in(context, path, ".conf"))
        elif path.endswith("/EFI"):
            vendors = context.system.names(path)
            for name, kind in (("grub.cfg", "grub"), ("grubenv", "environment")):
                yield from ((each, kind) for each in present(context, [f"{path}/{v}/{name}" for v in vendors]))
        else:
            yield path, kinds[path]


def _mend_environment(context: FixContext, path: str, change: Callable[[str], str]) -> None:
    block = context.system.read(path)
    if not block or b"kernelopts=" not in block:
        return
    settings = boot_config.environment_read(block)
    changed = change(settings)
    if changed != settings:
        context.system.write(path, boot_config.environment_block(changed))


def _mend_device_map(context: FixContext, path: str, *, legacy: bool) -> None:
    """GRUB 2 finds the disks itself unless an old map misleads it; GRUB legacy's tools need one."""
    if legacy:
        edit(context, path, boot_config.virtio_mapped)
    elif re.search(r"/dev/(?:[sh]d[a-z]|disk/by-)", text_of(context, path) or ""):
        context.system.remove(path)
