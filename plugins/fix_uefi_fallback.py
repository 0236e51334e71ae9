"""FIX: firmware that has forgotten the guest's boot entry finds its loader where every firmware looks."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Final

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import Problem, fail, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer, GuestSystem, is_linux

#: The suffix of a machine's EFI programs (UEFI specification 2.10, 3.5.1.1), by the kernel's name of the machine.
_MACHINES: Final[Mapping[str, str]] = {
    "x86_64": "x64",
    "aarch64": "aa64",
    "i386": "ia32",
    "i686": "ia32",
    "riscv64": "riscv64",
}

#: Loaders in the order of preference, as ``{}`` for the machine: what is started, and what it loads from beside it.
_LOADERS: Final = (
    ("shim{}.efi", ("grub{}.efi", "grub.efi", "mm{}.efi", "MokManager.efi")),
    ("shim.efi", ("grub.efi", "grub{}.efi", "MokManager.efi")),
    ("systemd-boot{}.efi", ()),
    ("grub{}.efi", ()),
    ("grub.efi", ()),
)

#: Bytes of a loader at most, and of a grub.cfg that does nothing but lead to another.
_LOADER_LIMIT: Final = 32 << 20
_STUB_LIMIT: Final = 4096


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it after the loader's configuration, which it may copy."""
    return (Fixer("uefi-fallback", "grub", fix_uefi_fallback, applies=_applies, order=210),)


def _applies(facts: GuestFacts) -> bool:
    return is_linux(facts) and facts.firmware == "uefi"


def fix_uefi_fallback(context: FixContext) -> None:
    """Copy the installed loader to ``EFI/BOOT``, with what it needs, unless there is one already."""
    system = context.system
    machine = _MACHINES.get(system.facts.arch, "")
    partition = _system_partition(system)
    if not machine or not partition:
        missing = f"a loader's name for {one_line(system.facts.arch)}" if not machine else "an EFI system partition"
        _warn(context, f"{missing} was not found")
        return
    boot = f"{partition}/{_named(system, partition, 'EFI')}/{_named(system, f'{partition}/EFI', 'BOOT')}"
    fallback = f"{boot}/{_named(system, boot, f'BOOT{machine.upper()}.EFI')}"
    if system.kind(fallback):
        return
    for directory in _vendors(system, posixpath.dirname(boot)):
        copies = _copies(system, directory, machine)
        if copies:
            _copy(system, partition, {**copies, fallback: copies[""]}, boot)
            context.log(f"{fallback} is made of {directory}")
            return
    _warn(context, f"{partition}/EFI has no loader that could be copied")


def _warn(context: FixContext, why: str) -> None:
    context.warn(Problem("guest-boot-loader", f"no loader at the place that any UEFI firmware tries: {why}"))


def _system_partition(system: GuestSystem) -> str:
    """Where it is mounted: a FAT below which there is an ``EFI``."""
    facts = system.facts
    for place, name in sorted(facts.mounts.items()):
        device = facts.device_of(name)
        if device and device.content in {"vfat", "msdos"} and any(n.upper() == "EFI" for n in system.names(place)):
            return place
    return ""


def _named(system: GuestSystem, directory: str, name: str) -> str:
    """The name in the directory that FAT takes for the same, or ``name``."""
    return next((each for each in system.names(directory) if each.upper() == name.upper()), name)


def _vendors(system: GuestSystem, directory: str) -> list[str]:
    """The directories of loaders, the installed distribution's first."""
    distro = system.facts.distro.lower()
    names = [name for name in system.names(directory) if name.upper() not in {"BOOT", "MICROSOFT"}]
    return [f"{directory}/{name}" for name in sorted(names, key=lambda name: (name.lower() != distro, name))]


def _copies(system: GuestSystem, directory: str, machine: str) -> dict[str, bytes]:
    """The best loader of a directory, under the empty name, and what must lie beside it; empty if it has none."""
    there = {name.lower(): name for name in system.names(directory)}
    for loader, companions in _LOADERS:
        name = there.get(loader.format(machine).lower())
        content = system.read(f"{directory}/{name}", _LOADER_LIMIT) if name else None
        if content is None:
            continue
        copies = {"": content}
        for companion in (each.format(machine) for each in companions):
            found = there.get(companion.lower())
            if found and (content := system.read(f"{directory}/{found}", _LOADER_LIMIT)) is not None:
                copies[found] = content
        if len(copies) == 1 and companions:
            continue  # a shim alone leads nowhere
        stub = system.read(f"{directory}/{there['grub.cfg']}") if "grub.cfg" in there else None
        if stub is not None and len(stub) <= _STUB_LIMIT and b"menuentry" not in stub:
            copies["grub.cfg"] = stub
        return copies
    return {}


def _copy(system: GuestSystem, partition: str, copies: Mapping[str, bytes], boot: str) -> None:
    needed, free = sum(map(len, copies.values())), system.free(partition)
    if needed > free:
        raise fail("guest-no-space", f"{partition} in the guest has {free} bytes free; its loader needs {needed}")
    for name, content in copies.items():
        if name:
            path = name if name.startswith("/") else f"{boot}/{name}"
            if not system.kind(path):
                system.write(path, content, 0o755)
