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
    """Whether the guest is to be changed: there is a FIX, and not each of the manifest's concerns is off in it."""
    return any(concern_options(guest, concern) is not None for concern in _DEFAULTS)


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
