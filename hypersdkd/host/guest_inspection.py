"""INSPECT: what system is on some disks, how it boots, and its file systems mounted as it mounts them itself."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from hypersdkd.host.guest_devices import Devices, block_devices
from hypersdkd.host.guestfs_binding import Guestfs
from hypersdkd.model.guest_facts import BlockDevice, GuestFacts
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line

#: Characters of a guest's own words that are kept.
_WORDS: Final = 200

#: ``ST_RDONLY`` of statvfs(3).
_READ_ONLY: Final = 1

#: libguestfs' word for what it does not know.
_UNKNOWN: Final = "unknown"

_Told = TypeVar("_Told", str, int)


@dataclass(frozen=True, slots=True)
class Inspected:
    """A guest that is mounted, and what the operator should know of it."""

    facts: GuestFacts
    warnings: tuple[Problem, ...]


def inspect(guestfs: Guestfs, keys: Sequence[str]) -> Inspected:
    """Find the system on the appliance's drives, opening encrypted ones by ``keys``, and mount it.

    Raises ``guest-no-system -encrypted -hibernated -damaged -file-unusual``.
    """
    devices = block_devices(guestfs, keys)
    roots = _roots(guestfs)
    if not roots:
        if devices.locked:
            raise fail("guest-encrypted", f"no system can be seen: {', '.join(devices.locked)} cannot be opened")
        raise fail("guest-no-system", f"no system was found on {_counted(len(guestfs.list_devices()), 'disk')}")
    warnings = [_locked(name) for name in devices.locked]
    root = _chosen(guestfs, roots)
    if len(roots) > 1:
        others = ", ".join(_product(guestfs, other) for other in roots if other != root)
        message = f"there are {len(roots)} systems; fixed is {_product(guestfs, root)}, not {others}"
        warnings.append(
            Problem("guest-no-system", one_line(message), remedy="Mend the others by hand if they shall boot.")
        )
    facts = _system(guestfs, root)
    mounted, unmounted = _mount(guestfs, root, facts.os_type)
    warnings += unmounted
    facts = replace(
        facts,
        root=mounted["/"],
        mounts=mounted,
        devices=_with_free_space(guestfs, devices, mounted),
        firmware=devices.firmware,
        partition_table=devices.partition_table,
    )
    return Inspected(facts, tuple(warnings))


def _roots(guestfs: Guestfs) -> Sequence[str]:
    try:
        return guestfs.inspect_os()
    except ProblemError as error:
        if "augeas parse failure" not in error.problem.message:
            raise
        message = f"a configuration file of the guest cannot be understood: {error.problem.message}"
        raise fail("guest-file-unusual", message) from error


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _locked(name: str) -> Problem:
    return Problem(
        "guest-encrypted", f"{name} of the guest is encrypted and was not opened; nothing in it was looked at"
    )


def _chosen(guestfs: Guestfs, roots: Sequence[str]) -> str:
    """A Linux before others, and what lies on the boot disk before what does not."""

    def rank(root: str) -> tuple[bool, str]:
        return (_told(lambda: guestfs.inspect_get_type(root), "") != "linux", root)

    return min(roots, key=rank)


def _product(guestfs: Guestfs, root: str) -> str:
    return _told(lambda: guestfs.inspect_get_product_name(root), "") or root


def _system(guestfs: Guestfs, root: str) -> GuestFacts:
    numbers = [_told(lambda call=call: call(root), 0) for call in _versions(guestfs)]  # type: ignore[misc]
    return GuestFacts(
        os_type=_told(lambda: guestfs.inspect_get_type(root), ""),
        distro=_told(lambda: guestfs.inspect_get_distro(root), ""),
        product=_told(lambda: guestfs.inspect_get_product_name(root), ""),
        version=".".join(map(str, numbers)) if any(numbers) else "",
        arch=_told(lambda: guestfs.inspect_get_arch(root), ""),
        hostname=_told(lambda: guestfs.inspect_get_hostname(root), ""),
        package_format=_told(lambda: guestfs.inspect_get_package_format(root), ""),
        package_manager=_told(lambda: guestfs.inspect_get_package_management(root), ""),
    )


def _versions(guestfs: Guestfs) -> tuple[Callable[[str], int], Callable[[str], int]]:
    return guestfs.inspect_get_major_version, guestfs.inspect_get_minor_version


def _told(ask: Callable[[], _Told], otherwise: _Told) -> _Told:
    """What the guest says, as one short line; ``otherwise`` where it says nothing that can be understood."""
    try:
        value = ask()
    except ProblemError as error:
        if error.problem.code != "guest-damaged":
            raise
        return otherwise
    if isinstance(value, str):
        return otherwise if value == _UNKNOWN else one_line(value[:_WORDS])
    return value


# -- mounting ------------------------------------------------------------------------------------------


def _mount(guestfs: Guestfs, root: str, os_type: str) -> tuple[Mapping[str, str], list[Problem]]:
    """Mount what the guest's own table says. Raises ``guest-damaged`` or ``guest-hibernated`` of the root."""
    # "/" is where the system was found: an encrypted one's table has a name for it that is not known here
    wanted = {**guestfs.inspect_get_mountpoints(root), "/": root}
    mounted: dict[str, str] = {}
    warnings: list[Problem] = []
    for place in sorted(wanted, key=lambda place: (len(place), place)):
        if posixpath.normpath(place) != place or not place.startswith("/"):
            continue  # a drive letter, or no place
        try:
            guestfs.mount_options("", wanted[place], place)
            mounted[place] = wanted[place]
        except ProblemError as error:
            if error.problem.code != "guest-damaged":
                raise
            if place == "/":
                raise _hibernated(error) if os_type == "windows" else error from None
            message = one_line(f"{place[:_WORDS]} of the guest cannot be mounted: {error.problem.message}")
            warnings.append(Problem("guest-damaged", message, error.problem.detail))
    if os_type == "windows" and guestfs.statvfs("/")["flag"] & _READ_ONLY:
        raise fail("guest-hibernated", "Windows was hibernated or its file system is dirty: it can only be read")
    return mounted, warnings


def _hibernated(error: ProblemError) -> ProblemError:
    return fail("guest-hibernated", f"Windows' file system cannot be mounted: {error.problem.message}")


def _with_free_space(guestfs: Guestfs, devices: Devices, mounted: Mapping[str, str]) -> tuple[BlockDevice, ...]:
    free: dict[str, int] = {}
    for place, device in mounted.items():
        found = guestfs.statvfs(place)
        free[device] = found["bsize"] * found["bavail"]
    known = {device.device for device in devices.devices}
    more = tuple(BlockDevice(name, "btrfs", 0) for name in mounted.values() if name not in known)  # subvolumes
    return tuple(replace(device, free=free.get(device.device)) for device in (*devices.devices, *more))
