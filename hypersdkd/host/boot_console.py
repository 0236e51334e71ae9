"""What a guest's serial console tells about how far it came: words of firmware, boot loaders, kernels and systems."""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from typing import Final

#: Bytes of a console that are kept: its beginning and its end.
KEPT: Final = 1 << 20

#: Bytes at the end of a console that patterns are looked for in.
_LOOKED_AT: Final = 16 << 10


class Boot(enum.Enum):
    """How a boot ended."""

    LOGIN = "login"
    NETWORK = "network"
    PANIC = "panic"
    NO_ROOT = "no-root"
    EMERGENCY = "emergency"
    BOOT_LOADER = "boot-loader"
    NO_BOOT_DEVICE = "no-boot-device"
    RESET = "reset"
    TIMEOUT = "timeout"
    UNDECIDED = "undecided"

    @property
    def passed(self) -> bool:
        """Whether the guest runs."""
        return self in {Boot.LOGIN, Boot.NETWORK}

    @property
    def failed(self) -> bool:
        """Whether it is certain that it does not."""
        return not self.passed and self is not Boot.UNDECIDED


#: What ends a boot, and how, in the order in which they are tried. All of them are words of the programs themselves:
#: Linux, initramfs-tools, dracut, mkinitcpio, systemd, sulogin, GRUB, SeaBIOS, OVMF, SYSLINUX.
_PATTERNS: Final = (
    (Boot.PANIC, r"Kernel panic - not syncing[^\n]*"),
    (Boot.NO_ROOT, r"ALERT!\s+[^\n]*does not exist[^\n]*"),
    (Boot.NO_ROOT, r"^\(initramfs\) ?"),
    (Boot.NO_ROOT, r"Warning: \"?/dev/[^\n]{1,200} does not exist"),
    (Boot.NO_ROOT, r"dracut-initqueue[^\n]*(?:timeout|Timeout)[^\n]*starting timeout scripts"),
    # Of an initramfs by systemd, which waits for its root forever; two minutes are enough for a disk under emulation.
    (Boot.NO_ROOT, r"Job dev-[^\n]{1,200}\.device/start running \([2-9]min [^\n)]*/ no limit\)"),
    (Boot.NO_ROOT, r"Entering emergency mode\. Exit the shell to continue"),
    (Boot.NO_ROOT, r"ERROR: device '[^'\n]*' not found\. Skipping fsck"),
    (Boot.NO_ROOT, r"You are now being dropped into an emergency shell"),
    (Boot.NO_ROOT, r"^\[rootfs [^\n\]]*\]# ?"),
    (Boot.EMERGENCY, r"You are in (?:emergency|rescue) mode[^\n]*"),
    (Boot.EMERGENCY, r"Give root password for maintenance"),
    (Boot.EMERGENCY, r"Cannot open access to console, the root account is locked[^\n]*"),
    (Boot.EMERGENCY, r"Press Enter for (?:maintenance|system shell)"),
    (Boot.BOOT_LOADER, r"grub rescue>"),
    (Boot.BOOT_LOADER, r"^grub> ?"),
    (Boot.BOOT_LOADER, r"Minimal BASH-like line editing is supported"),
    (Boot.BOOT_LOADER, r"error: (?:[\w./-]+:[0-9]+: ?)?you need to load the kernel first[^\n]*"),
    (Boot.BOOT_LOADER, r"^boot: ?$"),
    (Boot.NO_BOOT_DEVICE, r"No bootable device[^\n]*"),
    (Boot.NO_BOOT_DEVICE, r"UEFI Interactive Shell[^\n]*"),
    (Boot.NO_BOOT_DEVICE, r"BdsDxe: No bootable option or device was found[^\n]*"),
    (Boot.NO_BOOT_DEVICE, r"^Shell> ?"),
    (Boot.LOGIN, r"^(?!Last )[^\s:]{1,64} login: ?$"),
)
_COMPILED: Final = tuple((boot, re.compile(pattern, re.MULTILINE)) for boot, pattern in _PATTERNS)

#: Control sequences of terminals, ECMA-48: CSI … and the short ones; and what moves back on a line.
_CONTROL: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen, and its line, printable."""

    boot: Boot
    line: str


class Console:
    """A console's bytes as they come."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = bytearray()
        self.bytes = 0

    def follow(self, fd: int) -> None:
        """Add what a file has more than was added so far, up to a limit: the rest comes with the next call."""
        self.add(os.pread(fd, KEPT, self.bytes))

    def add(self, data: bytes) -> None:
        """More of it."""
        self.bytes += len(data)
        room = KEPT // 2 - len(self._head)
        self._head += data[:room] if room > 0 else b""
        self._tail += data
        if len(self._tail) > KEPT:  # not each time: that would move it all for each byte
            del self._tail[: -KEPT // 2]

    def log(self) -> bytes:
        """All of it as plain text: its beginning and its end where it is long."""
        tail = bytes(self._tail[-KEPT // 2 :])
        between = self.bytes - len(self._head) - len(tail)
        if between <= 0:
            return plain(self._head + tail[-between:])
        return plain(self._head) + b"\n[... %d bytes ...]\n" % between + plain(tail)

    def sight(self) -> Sight | None:
        """What ends the boot, if anything has been seen near the end."""
        text = plain(bytes(self._tail[-_LOOKED_AT:])).decode(errors="replace")
        for boot, pattern in _COMPILED:
            if found := pattern.search(text):
                return Sight(boot, "".join(char for char in found[0] if char.isprintable()).strip()[:200])
        return None


def timed_out(seconds: float, *, spoke: bool, address: str) -> Sight:
    """What to say of a boot that nothing has ended in that time. ``spoke`` is whether its console said anything,
    ``address`` an IPv4 address that it uses, if there is one."""
    if spoke:
        return Sight(Boot.TIMEOUT, f"no login appeared within {seconds:g} s")
    if address:
        return Sight(Boot.NETWORK, f"its serial console is silent, but it uses {address}")
    return Sight(Boot.UNDECIDED, f"its serial console said nothing within {seconds:g} s; see the picture of its screen")


def plain(data: bytes) -> bytes:
    """Without control sequences and characters, but for ends of lines and tabs."""
    text = re.sub(rb"\r+\n?", b"\n", _CONTROL.sub(b"", data))
    return bytes(byte for byte in text if byte >= 0x20 or byte in b"\n\t")
