"""What INSPECT and FIX are asked for: what is missing is on, what is off is off, and nothing asks for nothing."""

from __future__ import annotations

import pytest

from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_wishes import (
    boot_test_wanted,
    concern_options,
    fix_wanted,
    inspect_wanted,
    virt_v2v_asked,
    virt_v2v_wanted,
)
from hypersdkd.model.job_config import fixes

OFF = {"enabled": False}
ALL_OFF = {"fstab": {"enabled": False, "mode": ""}, "grub": OFF, "initramfs": OFF, "network": {**OFF, "fix_level": ""}}


@pytest.mark.parametrize(
    ("fix", "wanted"),
    [
        (None, False),
        ({}, True),
        ({"enabled": True}, True),
        (OFF, False),
        ({**OFF, "fstab": {"enabled": True}}, False),
        (ALL_OFF, False),
        ({**ALL_OFF, "grub": {}}, True),
        ({**ALL_OFF, "fstab": {"mode": "noop"}, "network": {"fix_level": "none"}}, False),
        ({**ALL_OFF, "grub": None}, True),
        ({**ALL_OFF, "engine": "virt-v2v"}, True),
        ({**OFF, "engine": "virt-v2v"}, False),
        (fixes(), True),
        (fixes("noop", initramfs=False, grub=False, network=False), False),
        (fixes("noop", initramfs=False, grub=False), True),
        ({"fstab": False, "grub": False, "initramfs": 0, "network": False}, True),
    ],
)
def test_whether_anything_is_changed(fix: dict[str, object] | None, wanted: bool) -> None:
    guest = Guest("web01", (), fix=fix)
    assert fix_wanted(guest) is wanted
    assert inspect_wanted(guest) is wanted


def test_a_boot_test_needs_a_look_into_the_guest() -> None:
    for validate, wanted in (({"boot_test": True}, True), ({"boot_test": True, "enabled": False}, False), ({}, False)):
        guest = Guest("web01", (), validate=validate)
        assert boot_test_wanted(guest) is wanted
        assert inspect_wanted(guest) is wanted
        assert not fix_wanted(guest)


def test_options_with_their_defaults() -> None:
    guest = Guest("web01", (), fix={"fstab": {"mode": "bypath-only"}, "initramfs": {"regenerate": False}})
    assert concern_options(guest, "fstab") == {"enabled": True, "mode": "bypath-only"}
    assert concern_options(guest, "grub") == {"enabled": True}
    assert concern_options(guest, "initramfs") == {"enabled": True, "regenerate": False}
    assert concern_options(guest, "network") == {"enabled": True, "fix_level": "full"}
    assert concern_options(guest, "acme") == {"enabled": True}
    off = Guest("web01", (), fix={"acme": {"enabled": False}, "other": False})
    assert (concern_options(off, "acme"), concern_options(off, "other")) == (None, None)
    assert concern_options(Guest("web01", ()), "acme") is None


def test_whether_the_guest_is_looked_at() -> None:
    assert inspect_wanted(Guest("web01", (), inspect={}))
    assert inspect_wanted(Guest("web01", (), dry_run=True))
    assert not inspect_wanted(Guest("web01", (), inspect={"enabled": False}))
    assert inspect_wanted(Guest("web01", (), inspect={"enabled": False}, fix={}))  # FIX cannot do without


def test_who_changes_the_guest() -> None:
    asked = Guest("web01", (), fix={"engine": "virt-v2v"})
    assert virt_v2v_asked(asked) and virt_v2v_wanted(asked, "linux")
    usual = Guest("web01", (), fix={"engine": "auto"})
    assert not virt_v2v_asked(usual)
    assert [virt_v2v_wanted(usual, os_type) for os_type in ("linux", "windows", "freebsd")] == [False, True, False]
    assert not virt_v2v_wanted(Guest("web01", (), fix={"enabled": False, "engine": "virt-v2v"}), "windows")
