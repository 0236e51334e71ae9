"""What a guest's manifest asks INSPECT and FIX for: which concerns are on, and their options with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypersdkd.model.guest import Guest

#: The manifest's concerns of FIX and what their objects say where they say nothing: hyper2kvm's defaults.
_DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = {
    "fstab": {"mode": "stabilize-all"},
    "grub": {},
    "initramfs": {"regenerate": True},
    "network": {"fix_level": "full"},
}

#: All keys of parts that a manifest's FIX has.
CONCERNS: Final = (*_DEFAULTS, "leftovers", "selinux")

#: Who changes the guest: hypersdkd's own fixers a Linux and virt-v2v a Windows, or virt-v2v whatever it is.
ENGINES: Final = ("auto", "virt-v2v")

#: Options by which a concern is as good as switched off.
_NOTHING: Final = (("mode", "noop"), ("fix_level", "none"))


def inspect_wanted(guest: Guest) -> bool:
    """Whether the guest's system is to be looked at: it is asked for, or something else needs it. A dry run does so
    unless told otherwise."""
    looks = guest.dry_run and guest.inspect is None
    return inspect_asked(guest) or looks or fix_wanted(guest) or boot_test_wanted(guest)


def inspect_asked(guest: Guest) -> bool:
    """Whether INSPECT itself is asked for."""
    return guest.inspect is not None and guest.inspect.get("enabled") is not False


def boot_test_wanted(guest: Guest) -> bool:
    """Whether the converted guest is to be booted, with the firmware and the network cards that INSPECT finds."""
    validate = guest.validate or {}
    return validate.get("boot_test") is True and validate.get("enabled") is not False


def fix_wanted(guest: Guest) -> bool:
    """Whether the guest is to be changed: there is a FIX, and not each of the manifest's concerns is off in it.

    virt-v2v knows no concerns.
    """
    return virt_v2v_asked(guest) or any(concern_options(guest, concern) is not None for concern in _DEFAULTS)


def virt_v2v_asked(guest: Guest) -> bool:
    """Whether virt-v2v is to change the guest, whatever system it is."""
    return guest.fix is not None and guest.fix.get("enabled") is not False and guest.fix.get("engine") == "virt-v2v"


def virt_v2v_wanted(guest: Guest, os_type: str) -> bool:
    """Whether virt-v2v is to change the guest, which is a Windows, or it was asked for. ``os_type`` is INSPECT's."""
    return virt_v2v_asked(guest) or (fix_wanted(guest) and os_type == "windows")


def concern_options(guest: Guest, concern: str) -> Mapping[str, object] | None:
    """The object of a concern with its defaults, or ``None`` where it is off; one that is missing is on."""
    if guest.fix is None or guest.fix.get("enabled") is False:
        return None
    section = guest.fix.get(concern)
    given = section if isinstance(section, Mapping) else {"enabled": section is not False}
    options = {
        "enabled": True,
        **_DEFAULTS.get(concern, {}),
        **{key: value for key, value in given.items() if value not in ("", None)},
    }
    if options["enabled"] is False or any(options.get(key) == value for key, value in _NOTHING):
        return None
    return options
