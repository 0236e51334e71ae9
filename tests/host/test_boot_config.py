"""Boot loaders' configuration, as texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host import boot_config
from hypersdkd.host.stable_names import StableNames
from tests.host.test_stable_names import ROOT, SWAP
from tests.problems import raises_problem

NAMES = StableNames((ROOT, SWAP))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "\tlinux\t/boot/vmlinuz-6.1 root=/dev/sda1 ro  quiet resume=/dev/sda5",
            "\tlinux\t/boot/vmlinuz-6.1 root=UUID=aaaa-1 ro  quiet resume=UUID=aaaa-5",
        ),
        ("options root=/dev/sda1 rd.lvm.lv=vg0/root", "options root=UUID=aaaa-1 rd.lvm.lv=vg0/root"),
        ('GRUB_CMDLINE_LINUX="root=/dev/sda1"', 'GRUB_CMDLINE_LINUX="root=UUID=aaaa-1"'),
        ("cryptdevice=/dev/sda1:root:allow-discards", "cryptdevice=UUID=aaaa-1:root:allow-discards"),
        ("# kopt=root=/dev/hda1 ro", "# kopt=root=UUID=aaaa-1 ro"),
        ("# linux /vmlinuz root=/dev/sda1", None),
        ("root=/dev/mapper/vg0-root", None),
        ("root=UUID=x", None),
        ("set root='hd0,msdos1'", None),
        ("myroot=/dev/sda1", None),
        ("x.root=/dev/sda1", None),
    ],
)
def test_the_kernels_devices(before: str, after: str | None) -> None:
    assert boot_config.stabilized_arguments(before, NAMES) == (after or before, ())


def test_an_unknown_device_is_told_once_and_left() -> None:
    text = "root=/dev/sdx1\nroot=/dev/sdx1 resume=/dev/sda1\n"
    assert boot_config.stabilized_arguments(text, NAMES) == (text, ("/dev/sdx1", "/dev/sda1"))


def test_a_kernel_without_initramfs_is_told_a_partition() -> None:
    assert boot_config.stabilized_arguments("root=/dev/sda1", NAMES, partition=True)[0] == "root=PARTUUID=deadbeef-01"


def test_the_next_update_writes_uuids_too() -> None:
    text = '#GRUB_DISABLE_LINUX_UUID=true\nGRUB_DISABLE_LINUX_UUID=true\nexport GRUB_DISABLE_UUID="true"\n'
    expected = '#GRUB_DISABLE_LINUX_UUID=true\nGRUB_DISABLE_LINUX_UUID=false\nexport GRUB_DISABLE_UUID="false"\n'
    assert boot_config.uuids_enabled(text) == expected


SERIAL = boot_config.SERIAL_CONSOLE


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("grub", "  linux /vmlinuz root=UUID=x ro ", f"  linux /vmlinuz root=UUID=x ro {SERIAL}"),
        ("grub", "\tkernel /vmlinuz root=/dev/sda1", f"\tkernel /vmlinuz root=/dev/sda1 {SERIAL}"),
        ("grub", "  linux16 /memtest86+.bin", None),
        ("grub", "  linux /vmlinuz root=UUID=x console=ttyS0", None),
        ("grub", "kernelopts=root=UUID=x ro ", f"kernelopts=root=UUID=x ro {SERIAL}"),
        ("grub", '  set kernelopts="root=UUID=x ro "', f'  set kernelopts="root=UUID=x ro {SERIAL}"'),
        ("grub", 'linux /vmlinuz root=x a="b c"', f'linux /vmlinuz root=x a="b c" {SERIAL}'),
        ("grub", "# kopt=root=UUID=x ro", f"# kopt=root=UUID=x ro {SERIAL}"),
        ("entry", "options root=UUID=x ro", f"options root=UUID=x ro {SERIAL}"),
        ("entry", "options $kernelopts", None),
        ("entry", "linux /vmlinuz-6.1", None),
        ("syslinux", "  APPEND root=UUID=x", f"  APPEND root=UUID=x {SERIAL}"),
        ("syslinux", "  kernel /vmlinuz root=x", None),
    ],
)
def test_a_serial_console_for_each_kernel(kind: str, before: str, after: str | None) -> None:
    assert boot_config.serial_console_added(before, kind) == (after or before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('A=1\nGRUB_CMDLINE_LINUX="quiet"\nB=2\n', f'A=1\nGRUB_CMDLINE_LINUX="quiet {SERIAL}"\nB=2\n'),
        ('GRUB_CMDLINE_LINUX=""', f'GRUB_CMDLINE_LINUX="{SERIAL}"'),
        ("GRUB_CMDLINE_LINUX=quiet\n", f'GRUB_CMDLINE_LINUX="quiet {SERIAL}"\n'),
        ("GRUB_CMDLINE_LINUX='a'\n", f"GRUB_CMDLINE_LINUX='a {SERIAL}'\n"),
        ("A=1\n", f'A=1\nGRUB_CMDLINE_LINUX="{SERIAL}"\n'),
        ('GRUB_CMDLINE_LINUX="a=\\"b\\"" # c\n', f'GRUB_CMDLINE_LINUX="a=\\"b\\" {SERIAL}" # c\n'),
        ('GRUB_CMDLINE_LINUX="console=ttyS1"\n', None),
    ],
)
def test_a_serial_console_for_kernels_to_come(before: str, after: str | None) -> None:
    assert boot_config.default_serial_console_added(before) == (after or before)


pieces = st.sampled_from(
    ["linux ", "options ", "append ", "kernelopts=", "GRUB_CMDLINE_LINUX=", '"', "'", " ", "\n", "\r\n", "root=",
     "/dev/sda1", "/dev/sda5", "resume=", "# ", "# kopt=", "console=ttyS0", "set ", "GRUB_DISABLE_UUID=true"]
)  # fmt: skip
texts = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=25).map("".join)


@given(texts, st.sampled_from(["grub", "entry", "syslinux"]))
def test_a_second_time_changes_nothing(text: str, kind: str) -> None:
    def change(text: str) -> str:
        text = boot_config.uuids_enabled(boot_config.stabilized_arguments(text, NAMES)[0])
        return boot_config.virtio_mapped(boot_config.serial_console_added(text, kind))

    assert change(change(text)) == change(text)
    once = boot_config.default_serial_console_added(text)
    assert boot_config.default_serial_console_added(once) == once


def block(settings: str) -> bytes:
    return ("# GRUB Environment Block\n" + settings).encode().ljust(1024, b"#")


def test_the_environment_block_keeps_its_size() -> None:
    settings = boot_config.environment_read(block("saved_entry=x\nkernelopts=root=/dev/sda1 ro\n"))
    assert settings == "saved_entry=x\nkernelopts=root=/dev/sda1 ro\n"
    assert boot_config.environment_block(settings + "a=b\n") == block(settings + "a=b\n")


def test_what_does_not_fit_or_is_no_block_is_refused() -> None:
    with raises_problem("guest-file-unusual"):
        boot_config.environment_block("x" * 1000)
    for strange in (b"", b"x" * 1024, block("")[:-1]):
        with raises_problem("guest-file-unusual"):
            boot_config.environment_read(strange)


def test_legacys_device_map_keeps_the_order() -> None:
    text = "(fd0)\t/dev/fd0\n(hd0)\t/dev/sda\n(hd1) /dev/hdb\n"
    assert boot_config.virtio_mapped(text) == "(fd0)\t/dev/fd0\n(hd0)\t/dev/vda\n(hd1) /dev/vdb\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/dev/sda\nactivate\ngeneric_mbr\n", "/dev/vda\nactivate\ngeneric_mbr\n"),
        ("/dev/disk/by-id/scsi-36000c29\n", "/dev/vda\n"),
        ("/dev/sda1\n", "/dev/disk/by-partuuid/deadbeef-01\n"),
        ("/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0-part1\n", "/dev/disk/by-partuuid/deadbeef-01\n"),
        ("/dev/sdx9\n(hd0)\n# /dev/sda\n/dev/disk/by-uuid/x\n/dev/md0\n", None),
    ],
)
def test_where_grub_is_put_at_its_next_update(before: str, after: str | None) -> None:
    once = boot_config.install_devices_stabilized(before, NAMES)
    assert once == (after or before)
    assert boot_config.install_devices_stabilized(once, NAMES) == once
