"""All fixers, one after the other, on guests of five families of distributions."""

from __future__ import annotations

import time

import pytest
from hypersdkd_plugins import (
    fix_fstab,
    fix_grub,
    fix_initramfs,
    fix_leftovers,
    fix_network,
    fix_network_early,
    fix_selinux,
    fix_uefi_fallback,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.spec.system import Fixer
from tests.plugins.distributions import DISTRIBUTIONS, MAC, Paper
from tests.plugins.paper_system import Entry, Link, PaperContext, PaperSystem

PLUGINS = (
    fix_fstab,
    fix_grub,
    fix_uefi_fallback,
    fix_network,
    fix_leftovers,
    fix_network_early,
    fix_initramfs,
    fix_selinux,
)


def fixers() -> list[Fixer]:
    found = [fixer for plugin in PLUGINS for fixer in plugin.hypersdkd_fixers()]
    return sorted(found, key=lambda fixer: fixer.order)


def fixed(system: PaperSystem) -> PaperContext:
    context = PaperContext(system, findings={"nics": [{"mac": MAC, "network": "VM Network"}]})
    for fixer in fixers():
        if fixer.applies(system.facts):
            fixer.fix(context)
    return context


def shown(system: PaperSystem, path: str) -> str:
    entry = system.files.get(path, b"")
    return entry.target if isinstance(entry, Link) else system.text(path) if path in system.files else ""


@pytest.mark.parametrize("guest", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_all_that_vmwares_hardware_named_is_named_otherwise(guest: Paper) -> None:
    system = PaperSystem(guest.files, guest.facts)
    context = fixed(system)
    assert context.warnings == []
    for path, expected in guest.fixed.items():
        assert expected in shown(system, path), path
        assert bool(expected) == (path in system.files), path
    changed = {change.path for change in system.changes}
    assert changed == set(guest.fixed)
    assert not changed & guest.unchanged
    [*_, last] = context.findings["interfaces"]  # type: ignore[misc]
    assert last["mac"] == MAC


@pytest.mark.parametrize("guest", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_a_second_time_changes_nothing(guest: Paper) -> None:
    first = PaperSystem(guest.files, guest.facts)
    findings = fixed(first).findings
    again = PaperSystem(first.files, guest.facts)
    context = fixed(again)
    assert again.changes == ()
    assert context.findings == findings


#: Texts on which an expression that looks back for each character takes hours.
SLOW = (
    "\n",
    " ",
    "a ",
    "a",
    "# ",
    "[",
    "Driver=x ",
    "linux root=x ",
    "GRUB_CMDLINE_LINUX= ",
    '"',
    "a\\\n",
    "alias eth0 \n",
)


@pytest.mark.parametrize("piece", SLOW)
def test_a_hostile_text_takes_no_time(piece: str) -> None:
    paths = {
        path for guest in DISTRIBUTIONS.values() for path, entry in guest.files.items() if not isinstance(entry, Link)
    }
    heads = (
        "",
        "[Match]\nPath=",
        "linux root=x",
        "RESUME=",
        "GRUB_CMDLINE_LINUX=",
        "/dev/sda3",
        "iface ",
        'SUBSYSTEM=="net", NAME="',
    )
    begin = time.process_time()
    for head in heads:
        text = head + piece * (100_000 // len(piece)) + "b"
        system = PaperSystem(dict.fromkeys(paths, text), DISTRIBUTIONS["ubuntu"].facts)
        context = PaperContext(system, {"serial_console": True})
        for fixer in fixers():
            fixer.fix(context)
    assert time.process_time() - begin < 20


def test_no_fixer_is_for_another_system() -> None:
    assert not any(fixer.applies(GuestFacts(os_type="windows", firmware="uefi")) for fixer in fixers())
    assert [fixer.order for fixer in fixers()] == [100, 200, 210, 300, 400, 900, 910, 950]


@st.composite
def altered(draw: st.DrawFn, guest: Paper) -> PaperSystem:
    """The guest with lines of its files left out, doubled, in another order and without their end."""
    files: dict[str, Entry | str] = {}
    texts = [path for path, entry in guest.files.items() if isinstance(entry, str)]
    touched = draw(st.sets(st.sampled_from(texts), min_size=1, max_size=4))
    for path, entry in guest.files.items():
        files[path] = entry
        if path in touched and isinstance(entry, str):
            lines = entry.splitlines(keepends=True) or [""]
            several = draw(st.lists(st.sampled_from([*lines, "# a note\n", "\n", "  "]), max_size=len(lines) + 2))
            files[path] = "".join(several)[: draw(st.integers(0, 2000))]
    return PaperSystem(files, guest.facts)


@pytest.mark.parametrize("guest", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@settings(max_examples=40)
@given(data=st.data())
def test_whatever_the_files_hold_a_second_time_changes_nothing(guest: Paper, data: st.DataObject) -> None:
    first = data.draw(altered(guest))
    fixed(first)
    again = PaperSystem(first.files, guest.facts)
    fixed(again)
    assert again.changes == ()
