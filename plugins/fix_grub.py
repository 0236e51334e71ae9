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

#: Where an EFI system partition is mounted, and its boot loader entries lie.
_ENTRY_DIRECTORIES: Final = ("/boot", "/boot/efi", "/efi")

#: Files that give kernels their arguments, by the kind that ``boot_config`` knows.
_PLAIN: Final[Mapping[str, Sequence[str]]] = {
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
}

_GRUBENV: Final = ("/boot/grub/grubenv", "/boot/grub2/grubenv")


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it after fstab's."""
    return (Fixer("grub", "grub", fix_grub, order=200),)


def fix_grub(context: FixContext) -> None:
    """Edit the texts; no program of the guest is run, so what an administrator wrote by hand stays."""
    unknown: dict[str, str] = {}
    stable = _stable(context, unknown)
    serial = context.options.get("serial_console") is True
    for path in present(context, _defaults(context)):
        edit(context, path, lambda text: boot_config.uuids_enabled(stable(text)))
    if serial:
        edit(context, _DEFAULTS, boot_config.default_serial_console_added)
    for kind, path in _configurations(context):
        edit(context, path, lambda text, kind=kind: _serial(stable(text), kind, serial))  # type: ignore[misc]
    edit(context, "/etc/kernel/cmdline", lambda text: _serial_arguments(stable(text), serial))
    for path in present(context, (*_GRUBENV, *_of_vendors(context, "grubenv"))):
        attempt(context, partial(_mend_environment, context, path, lambda text: _serial(stable(text), "grub", serial)))
    _mend_device_map(context)
    if unknown:
        names = one_line(", ".join(unknown))
        context.warn(Problem("guest-device-unknown", f"the kernel is told of devices that are not known: {names}"))


def _stable(context: FixContext, unknown: dict[str, str]) -> Callable[[str], str]:
    facts = context.system.facts
    names = StableNames(facts.devices)
    # A kernel without an initramfs knows UUIDs of partitions, but not of file systems.
    bare = bool(facts.kernels) and not any(kernel.initramfs for kernel in facts.kernels)

    def changed(text: str) -> str:
        after, missing = boot_config.stabilized_arguments(text, names, partition=bare)
        unknown.update(dict.fromkeys(missing, ""))
        return after

    return changed


def _serial(text: str, kind: str, wanted: bool) -> str:
    return boot_config.serial_console_added(text, kind) if wanted else text


def _serial_arguments(text: str, wanted: bool) -> str:
    """/etc/kernel/cmdline is the arguments alone."""
    if not wanted or "console=ttyS" in text:
        return text
    return f"{text.rstrip()} {boot_config.SERIAL_CONSOLE}\n"


def _defaults(context: FixContext) -> Iterator[str]:
    yield _DEFAULTS
    yield from files_in(context, f"{_DEFAULTS}.d", ".cfg")


def _configurations(context: FixContext) -> Iterator[tuple[str, str]]:
    for kind, paths in _PLAIN.items():
        yield from ((kind, path) for path in present(context, paths))
    yield from (("grub", path) for path in present(context, _of_vendors(context, "grub.cfg")))
    for place in _ENTRY_DIRECTORIES:
        yield from (("entry", path) for path in files_in(context, f"{place}/loader/entries", ".conf"))


def _of_vendors(context: FixContext, name: str) -> Iterator[str]:
    """Files of that name beside the loaders in an EFI system partition."""
    for place in _ENTRY_DIRECTORIES:
        for vendor in context.system.names(f"{place}/EFI"):
            yield f"{place}/EFI/{vendor}/{name}"


def _mend_environment(context: FixContext, path: str, change: Callable[[str], str]) -> None:
    block = context.system.read(path)
    if not block or b"kernelopts=" not in block:
        return
    settings = boot_config.environment_read(block)
    changed = change(settings)
    if changed != settings:
        context.system.write(path, boot_config.environment_block(changed))


def _mend_device_map(context: FixContext) -> None:
    """GRUB 2 finds the disks itself unless an old map misleads it; GRUB legacy's tools need one."""
    legacy = bool({"menu.lst", "grub.conf"} & set(context.system.names("/boot/grub")))
    if legacy:
        edit(context, "/boot/grub/device.map", boot_config.virtio_mapped)
    for directory in ("/boot/grub2", *(() if legacy else ("/boot/grub",))):
        path = f"{directory}/device.map"
        text = text_of(context, path)
        if text is not None and re.search(r"/dev/(?:[sh]d[a-z]|disk/by-)", text):
            context.system.remove(path)
