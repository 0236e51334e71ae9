"""The loader that every firmware finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypersdkd_plugins.fix_uefi_fallback import fix_uefi_fallback

from tests.plugins.distributions import UBUNTU
from tests.plugins.paper_system import PaperContext, PaperSystem
from tests.problems import raises_problem

EFI = "/boot/efi/EFI"


def run(files: dict[str, bytes], **facts: object) -> tuple[PaperSystem, PaperContext]:
    system = PaperSystem({f"{EFI}/{name}": content for name, content in files.items()}, replace(UBUNTU.facts, **facts))
    context = PaperContext(system)
    fix_uefi_fallback(context)
    return system, context


def made(system: PaperSystem) -> dict[str, bytes]:
    return {change.path.removeprefix(f"{EFI}/"): system.paper.read(change.path) for change in system.changes}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"debian/grubx64.efi": b"G"}, {"BOOT/BOOTX64.EFI": b"G"}),
        ({"debian/GRUBX64.EFI": b"G"}, {"BOOT/BOOTX64.EFI": b"G"}),
        ({"boot/x": b"", "debian/grubx64.efi": b"G"}, {"boot/BOOTX64.EFI": b"G"}),
        (
            {"debian/shimx64.efi": b"S", "debian/grubx64.efi": b"G"},
            {"BOOT/BOOTX64.EFI": b"S", "BOOT/grubx64.efi": b"G"},
        ),
        ({"debian/shimx64.efi": b"S", "systemd/systemd-bootx64.efi": b"B"}, {"BOOT/BOOTX64.EFI": b"B"}),
        ({"arch/grubx64.efi": b"A", "ubuntu/grubx64.efi": b"U"}, {"BOOT/BOOTX64.EFI": b"U"}),  # the distribution's own
        (
            {"debian/grubx64.efi": b"G", "debian/grub.cfg": b"menuentry x {}"},
            {"BOOT/BOOTX64.EFI": b"G"},  # a copy of the whole menu would grow old
        ),
        ({"BOOT/bootx64.efi": b"OLD", "debian/grubx64.efi": b"G"}, {}),
    ],
)
def test_it_is_copied_from_what_is_installed(files: dict[str, bytes], expected: dict[str, bytes]) -> None:
    system, context = run(files)
    assert made(system) == expected
    assert context.warnings == []


def test_other_machines_have_other_names() -> None:
    system, _ = run({"debian/grubaa64.efi": b"G", "debian/grubx64.efi": b"X"}, arch="aarch64")
    assert made(system) == {"BOOT/BOOTAA64.EFI": b"G"}


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        ({"Microsoft/Boot/bootmgfw.efi": b"M"}, {}),
        ({"debian/grubx64.efi": b"G"}, {"arch": "vax\x1b"}),
        ({"debian/grubx64.efi": b"G"}, {"mounts": {"/": "/dev/sda3"}}),
    ],
)
def test_what_cannot_be_done_is_a_warning(files: dict[str, bytes], facts: dict[str, object]) -> None:
    system, context = run(files, **facts)
    assert system.changes == ()
    [warning] = context.warnings
    assert warning.code == "guest-boot-loader"
    assert warning.message.isprintable()


def test_a_full_partition_fails_before_anything_is_written() -> None:
    system = PaperSystem({f"{EFI}/debian/grubx64.efi": b"G" * 100}, UBUNTU.facts, free=99)
    with raises_problem("guest-no-space", "99 bytes free"):
        fix_uefi_fallback(PaperContext(system))
    assert system.changes == ()
