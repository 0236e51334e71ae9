"""INSPECT: the facts are told; what stands in the way fails who asked for FIX, and warns all others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from hypersdkd_plugins import inspect_guest

from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import BlockDevice, GuestFacts, Kernel
from hypersdkd.model.problem import Problem
from tests.plugins.context import MemoryContext
from tests.plugins.paper_system import PaperSystem
from tests.problems import raises_problem

KERNEL = Kernel("6.1", "/boot/vmlinuz", "/boot/initrd", "/lib/modules/6.1")
ROOM = 1 << 30


def facts(root: int = ROOM, boot: int | None = None, os_type: str = "linux", firmware: str = "bios") -> GuestFacts:
    mounts = {"/": "/dev/sda1"} | ({} if boot is None else {"/boot": "/dev/sda2"})
    devices = (BlockDevice("/dev/sda1", "ext4", ROOM, free=root), BlockDevice("/dev/sda2", "ext4", ROOM, free=boot))
    return GuestFacts(os_type, product="A\x1bB", firmware=firmware, mounts=mounts, devices=devices, kernels=(KERNEL,))


def context(found: GuestFacts | Problem, **wishes: object) -> MemoryContext:
    guest = Guest("web01", (), **wishes)  # type: ignore[arg-type]
    system = found if isinstance(found, Problem) else PaperSystem({}, found)
    return MemoryContext(guest, Path("/nowhere"), [], guest_system=system)


def test_it_runs_where_it_is_wanted() -> None:
    (step,) = inspect_guest.hypersdkd_steps()
    wishes: list[dict[str, object]] = [{}, {"inspect": {"enabled": True}}, {"fix": {}}, {"dry_run": True}]
    assert [step.wanted(Guest("web01", (), **wish)) for wish in wishes] == [False, True, True, True]  # type: ignore[arg-type]


def test_what_it_tells() -> None:
    seen = context(facts(), inspect={})
    inspect_guest.inspect_guest(seen)
    told = seen.findings["system"]
    assert isinstance(told, dict)
    assert (told["product"], told["os_type"]) == (r"A\x1bB", "linux")
    assert told["mounts"] == {"/": "/dev/sda1"}
    assert told["kernels"] == [asdict(KERNEL)]
    assert seen.warnings == []


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Problem("guest-no-system", "none"), "guest-no-system"),
        (Problem("appliance-missing", "none"), "appliance-missing"),
        (facts(root=20 << 20), "guest-no-space"),
        (facts(boot=7 << 20), "guest-no-space"),
    ],
)
def test_what_stands_in_the_way(found: GuestFacts | Problem, code: str) -> None:
    with raises_problem(code):
        inspect_guest.inspect_guest(context(found, fix={}))
    if_possible = context(found, fix={}, fix_if_possible=True)
    inspect_guest.inspect_guest(if_possible)
    assert [problem.code for problem in if_possible.warnings] == [code]
    only_looked_at = context(found, inspect={})
    inspect_guest.inspect_guest(only_looked_at)
    assert [problem.code for problem in only_looked_at.warnings] == ([] if code == "guest-no-space" else [code])


def test_the_space_that_is_missing_is_named() -> None:
    with raises_problem("guest-no-space", "/boot of the guest has 7340032 bytes free, FIX needs 8388608") as caught:
        inspect_guest.inspect_guest(context(facts(boot=7 << 20), fix={}))
    assert "Free 1048576 bytes in /boot" in caught[0].remedy


@pytest.mark.parametrize(
    ("told", "firmware", "warned"),
    [
        ("efi", "uefi", 0),
        ("EFI", "bios", 1),
        ("bios", "uefi", 1),
        ("bios", "bios", 0),
        (None, "uefi", 0),
    ],
)
def test_the_firmware_is_compared_with_what_load_was_told(told: object, firmware: str, warned: int) -> None:
    seen = context(facts(firmware=firmware), inspect={})
    seen.finding("hardware", {"firmware": told})
    inspect_guest.inspect_guest(seen)
    assert [problem.code for problem in seen.warnings] == ["guest-firmware"] * warned


def test_what_nobody_fixes_is_told_of() -> None:
    for os_type in ("windows", "linux"):
        ours = context(facts(os_type=os_type), fix={})
        inspect_guest.inspect_guest(ours)
        assert ours.warnings == []
    seen = context(facts(os_type="freebsd"), fix={})
    inspect_guest.inspect_guest(seen)
    assert [problem.code for problem in seen.warnings] == ["manifest-unsupported"]
    assert r"A\x1bB" in seen.warnings[0].message
