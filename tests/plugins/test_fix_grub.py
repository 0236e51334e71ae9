"""Boot loaders' configuration, in a guest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypersdkd_plugins.fix_grub import fix_grub

from hypersdkd.host.boot_config import SERIAL_CONSOLE
from tests.plugins.distributions import DEBIAN, DISTRIBUTIONS, Paper
from tests.plugins.paper_system import Link, PaperContext, PaperSystem

CFG = "menuentry x {\n  linux /vmlinuz root=/dev/sda3 ro\n}\n"


def test_grub_legacy() -> None:
    files = {
        "/boot/grub/menu.lst": "# kopt=root=/dev/hda3 ro\nkernel /vmlinuz root=/dev/hda3 ro\n",
        "/boot/grub/device.map": "(hd0)\t/dev/hda\n",
    }
    system = PaperSystem(files, DEBIAN.facts)
    fix_grub(PaperContext(system))
    assert (
        system.text("/boot/grub/menu.lst") == "# kopt=root=UUID=root-uuid ro\nkernel /vmlinuz root=UUID=root-uuid ro\n"
    )
    assert system.text("/boot/grub/device.map") == "(hd0)\t/dev/vda\n"


def test_extlinux_and_entries_written_by_hand() -> None:
    files = {
        "/boot/extlinux.conf": "  APPEND root=/dev/sda3 modules=sd-mod\n",
        "/etc/grub.d/40_custom": "#!/bin/sh\nlinux /mine root=/dev/sda3\n",
        "/boot/efi/EFI/redhat/grub.cfg": CFG,
    }
    system = PaperSystem(files, DEBIAN.facts)
    fix_grub(PaperContext(system))
    assert all("root=UUID=root-uuid" in system.text(path) for path in files)


def test_a_kernel_without_initramfs_gets_a_partition() -> None:
    [kernel] = DEBIAN.facts.kernels
    facts = replace(DEBIAN.facts, kernels=(replace(kernel, initramfs=""),))
    system = PaperSystem({"/boot/grub/grub.cfg": CFG}, facts)
    fix_grub(PaperContext(system))
    assert "root=PARTUUID=p-3 " in system.text("/boot/grub/grub.cfg")


def test_an_unknown_root_is_told_once() -> None:
    cfg = CFG.replace("sda3", "sdb7")
    system = PaperSystem({"/boot/grub/grub.cfg": cfg, "/boot/grub2/grub.cfg": cfg}, DEBIAN.facts)
    context = PaperContext(system)
    fix_grub(context)
    assert [warning.message for warning in context.warnings] == [
        "the kernel is told of devices that are not known: /dev/sdb7"
    ]
    assert system.changes == ()


@pytest.mark.parametrize("guest", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_a_serial_console_where_it_is_asked_for(guest: Paper) -> None:
    system = PaperSystem(guest.files, guest.facts)
    fix_grub(PaperContext(system, {"serial_console": True}))
    kernels = [
        line
        for path, content in system.files.items()
        if path.startswith(("/boot", "/etc/kernel")) and isinstance(content, bytes) and b"root=" in content
        for line in content.decode().split("\n")
        if "root=" in line and "prefix" not in line
    ]
    assert kernels
    assert all(line.rstrip("#").endswith(SERIAL_CONSOLE) for line in kernels)
    again = PaperSystem(system.files, guest.facts)
    fix_grub(PaperContext(again, {"serial_console": True}))
    assert again.changes == ()


def test_a_strange_environment_block_is_left_and_the_rest_is_mended() -> None:
    files = {
        "/boot/grub2/grubenv": b"kernelopts=root=/dev/sda3\n",
        "/boot/grub2/device.map": "(hd0) /dev/sda\n",
        "/boot/grub/grubenv": Link("/boot/grub/grubenv"),
    }
    system = PaperSystem(files, DEBIAN.facts)
    context = PaperContext(system)
    fix_grub(context)
    assert [warning.code for warning in context.warnings] == ["guest-file-unusual"] * 2
    assert [change.path for change in system.changes] == ["/boot/grub2/device.map"]
