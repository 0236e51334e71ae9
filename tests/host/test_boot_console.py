"""Consoles of real systems, by the lines that decide: each end of a boot is told from the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.boot_console import KEPT, Boot, Console, plain, timed_out


def seen(text: str | bytes) -> Boot | None:
    console = Console()
    console.add(text.encode() if isinstance(text, str) else text)
    sight = console.sight()
    return None if sight is None else sight.boot


@pytest.mark.parametrize(
    ("text", "boot"),
    [
        ("Debian GNU/Linux 12 vm1 ttyS0\r\n\r\nvm1 login: ", Boot.LOGIN),
        ("\x1b[0;32m  OK  \x1b[0m] Reached target\r\r\n\x1b[Hlocalhost login: ", Boot.LOGIN),
        ("[ 3.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", Boot.PANIC),
        ("ALERT!  /dev/sda1 does not exist.  Dropping to a shell!\n(initramfs) ", Boot.NO_ROOT),
        ("BusyBox v1.35.0 (Debian) built-in shell (ash)\n\n(initramfs) ", Boot.NO_ROOT),
        ('Warning: /dev/mapper/rl-root does not exist\n\nGenerating "/run/initramfs/rdsosreport.txt"', Boot.NO_ROOT),
        (
            "[ 190.1] dracut-initqueue[402]: Warning: dracut-initqueue: timeout, still waiting, "
            "starting timeout scripts",
            Boot.NO_ROOT,
        ),
        ("[  *** ] Job dev-sda1.device/start running (2min 1s / no limit)\r", Boot.NO_ROOT),
        ("Entering emergency mode. Exit the shell to continue.", Boot.NO_ROOT),
        ("ERROR: device '/dev/sda2' not found. Skipping fsck.\n", Boot.NO_ROOT),
        ("You are now being dropped into an emergency shell.\nsh: can't access tty\n[rootfs ~]# ", Boot.NO_ROOT),
        ('You are in emergency mode. After logging in, type "journalctl -xb"', Boot.EMERGENCY),
        ("Give root password for maintenance\n(or press Control-D to continue): ", Boot.EMERGENCY),
        ("Cannot open access to console, the root account is locked.\nSee sulogin(8)", Boot.EMERGENCY),
        ("error: no such device: 1f2e.\nEntering rescue mode...\ngrub rescue> ", Boot.BOOT_LOADER),
        ("error: no such device: 1f2e.\nerror: you need to load the kernel first.\n", Boot.BOOT_LOADER),
        ("error: loader/i386/linux.c:1155:you need to load the kernel first.\n", Boot.BOOT_LOADER),
        ('Warning: "/dev/disk/by-uuid/1f2e" does not exist\n', Boot.NO_ROOT),
        ("   Minimal BASH-like line editing is supported. For the first word,\ngrub> ", Boot.BOOT_LOADER),
        ("Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nNo bootable device.\n", Boot.NO_BOOT_DEVICE),
        ("UEFI Interactive Shell v2.2\nEDK II\nShell> ", Boot.NO_BOOT_DEVICE),
        ("BdsDxe: No bootable option or device was found.\r\n", Boot.NO_BOOT_DEVICE),
    ],
)
def test_each_end_of_a_boot(text: str, boot: Boot) -> None:
    assert seen(text) is boot
    assert boot.passed is (boot is Boot.LOGIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[  OK  ] Started getty@tty1.service - Getty on tty1.",
        "GNU GRUB  version 2.06\r\n *Debian GNU/Linux",
        "Last login: Mon Nov 24 from 10.0.2.2",
        "pam_unix(login:session): session opened",
        "systemd[1]: Starting emergency.target",
        "BdsDxe: starting Boot0001 from PciRoot(0x0)",
        "error: no such device: 1f2e.\r\n\r\nPress any key to continue...",  # and it goes on after 10 s
        "backup[612]: Warning: /srv/backup/last does not exist",
        "[  *** ] Job dev-sda1.device/start running (1min 59s / no limit)",
        "[  *** ] Job dev-sdb1.device/start running (2min 1s / 3min)",
    ],
)
def test_what_ends_nothing(text: str) -> None:
    assert seen(text) is None


def test_a_line_that_decides_is_shown_without_what_a_terminal_would_obey() -> None:
    console = Console()
    console.add(b"Kernel panic - not syncing: \x1b]0;evil\x07 Attempted\x07 to kill init!\x1b[2J\n")
    sight = console.sight()
    assert sight is not None and sight.line == "Kernel panic - not syncing:  Attempted to kill init!"


def test_a_long_console_keeps_its_beginning_and_its_end() -> None:
    console = Console()
    for number in range(400_000):
        console.add(b"%06d\n" % number)
    log = console.log()
    assert log.startswith(b"000000\n") and log.endswith(b"399999\n")
    assert len(log) < KEPT + 100 and b"[... " in log


@given(st.lists(st.binary(max_size=50)))
def test_a_short_console_is_kept_whole(pieces: list[bytes]) -> None:
    console = Console()
    for piece in pieces:
        console.add(piece)
    assert console.log() == plain(b"".join(pieces))


def test_what_is_said_after_the_time() -> None:
    assert timed_out(9, spoke=True, address="10.0.2.7").boot is Boot.TIMEOUT
    assert timed_out(9, spoke=False, address="10.0.2.7").boot is Boot.NETWORK
    assert timed_out(9, spoke=False, address="").boot is Boot.UNDECIDED
