"""Boot loaders' configuration as texts: the devices that the kernel is told, and its console; the rest is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from hypersdkd.host.fstab import Edited
from hypersdkd.host.stable_names import StableNames, is_fleeting
from hypersdkd.model.problem import fail

#: Arguments of the kernel, and of the usual initramfs, that name a device; ``cryptdevice`` goes on after a colon.
_DEVICE_ARGUMENT: Final = re.compile(
    r"(?<![\w.-])(root|real_root|resume|boot|cryptdevice|rd\.luks\.data)=(/dev/[^\s\"',:;\\]+)"
)

#: Lines that give a kernel its arguments, by the kind of file: what stands before those.
_KERNEL_LINES: Final[Mapping[str, re.Pattern[str]]] = {
    kind: re.compile(before)
    for kind, before in {
        "grub": r"[ \t]*(?:linux(?:16|efi)?|kernel)[ \t]+(?=.*\broot=)|kernelopts=|[ \t]*set kernelopts=\"|# kopt=",
        "entry": r"options[ \t]+(?!\$)",
        "syslinux": r"[ \t]*(?:append|APPEND)[ \t]+|default_kernel_opts=\"?",
    }.items()
}
_DEFAULT_LINE: Final = re.compile(
    r"^([ \t]*GRUB_CMDLINE_LINUX=)(?:\"((?:[^\"\\\n]|\\.)*)\"|'([^'\n]*)'|([^\s\"'#]*))(?=[\s#]|$)", re.MULTILINE
)
_UUID_DISABLED: Final = re.compile(r"^([ \t]*(?:export )?GRUB_DISABLE_(?:LINUX_)?UUID=)([\"']?)true\2", re.MULTILINE)

#: The last one is where the system's own messages go, so the screen keeps the kernel's and the serial line has all.
SERIAL_CONSOLE: Final = "console=tty0 console=ttyS0,115200"

#: GRUB's environment block always has this size (GRUB manual, "The GRUB environment block").
_BLOCK_BYTES: Final = 1024
_BLOCK_HEAD: Final = "# GRUB Environment Block\n"


def stabilized_arguments(text: str, names: StableNames, *, partition: bool = False) -> Edited:
    """The text with stable names in the kernel's arguments; comments stay, but for the one that update-grub reads.

    ``partition`` names partitions, which a kernel without an initramfs finds itself.
    """
    unknown: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        if not is_fleeting(match[2]):
            return match[0]
        content = "swap" if match[1] == "resume" else ""
        spec = names.stable(match[2], content, partition=partition)
        if not spec:
            unknown.append(match[2])
        return f"{match[1]}={spec or match[2]}"

    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("#") or line.startswith("# kopt="):
            lines[number] = _DEVICE_ARGUMENT.sub(replaced, line)
    return "\n".join(lines), tuple(dict.fromkeys(unknown))


def uuids_enabled(text: str) -> str:
    """/etc/default/grub that lets the next update-grub write UUIDs."""
    return _UUID_DISABLED.sub(r"\1\2false\2", text)


def serial_console_added(text: str, kind: str) -> str:
    """The text with a serial console for each kernel, unless it has one. ``kind`` is ``grub`` (with its environment),
    ``entry`` (of the boot loader specification) or ``syslinux``."""

    def added(line: str) -> str:
        match = _KERNEL_LINES[kind].match(line)
        if match is None or "console=ttyS" in line:
            return line
        head, arguments = match[0], line[match.end() :].rstrip()
        quote = '"' if head.endswith('"') and arguments.endswith('"') else ""
        end = "\r" if line.endswith("\r") else ""
        return f"{head}{arguments.removesuffix(quote).rstrip()} {SERIAL_CONSOLE}{quote}{end}"

    return "\n".join(map(added, text.split("\n")))


def default_serial_console_added(text: str) -> str:
    """/etc/default/grub with a serial console for all kernels that are yet to come."""
    if "console=ttyS" in "".join(line for line in text.split("\n") if not line.lstrip().startswith("#")):
        return text
    found = list(_DEFAULT_LINE.finditer(text))
    if not found:
        return f'{text.rstrip()}\nGRUB_CMDLINE_LINUX="{SERIAL_CONSOLE}"\n'.lstrip("\n")
    last = found[-1]  # which counts for the shell
    quote = "'" if last[3] is not None else '"'
    value = f"{last[2] or last[3] or last[4] or ''} {SERIAL_CONSOLE}".strip()
    return f"{text[: last.start()]}{last[1]}{quote}{value}{quote}{text[last.end() :]}"


def environment_read(block: bytes) -> str:
    """The settings in GRUB's environment block, a line each. Raises ``guest-file-unusual`` for anything else."""
    text = block.decode(errors="surrogateescape")
    if len(block) != _BLOCK_BYTES or not text.startswith(_BLOCK_HEAD):
        raise fail("guest-file-unusual", f"grubenv in the guest is no environment block of {_BLOCK_BYTES} bytes")
    return text.removeprefix(_BLOCK_HEAD).rstrip("#")


def environment_block(settings: str) -> bytes:
    """The block of these settings. Raises ``guest-file-unusual`` where they do not fit into it."""
    block = (_BLOCK_HEAD + settings).encode(errors="surrogateescape")
    if len(block) > _BLOCK_BYTES:
        raise fail("guest-file-unusual", f"grubenv in the guest has no room for {len(block) - _BLOCK_BYTES} bytes more")
    return block.ljust(_BLOCK_BYTES, b"#")


_MAPPED: Final = re.compile(r"^(\(hd\d+\)\s+/dev/)[sh]d(?=[a-z]{1,2}\s*$)", re.MULTILINE)


def virtio_mapped(text: str) -> str:
    """GRUB legacy's device.map with virtio's names of the disks, which keep their order."""
    return _MAPPED.sub(r"\1vd", text)


_INSTALLED_ON: Final = re.compile(r"^/dev/(?:[sh]d[a-z]{1,2}[0-9]*|disk/by-(?:id|path)/\S+)(?=[ \t]*$)", re.MULTILINE)


def install_devices_stabilized(text: str, names: StableNames) -> str:
    """SUSE's list of where GRUB is put at its next update: partitions by what stays, disks by virtio's names.

    A disk by serial number or path is only certain where there is one; any other line stays.
    """
    one_disk = len({device.disk for device in names.devices if device.disk is not None}) == 1

    def replaced(match: re.Match[str]) -> str:
        name = match[0]
        if not is_fleeting(name):
            return name
        if disk := re.fullmatch(r"/dev/[sh]d([a-z]{1,2})", name):
            return f"/dev/vd{disk[1]}"
        if name.startswith("/dev/disk/") and not re.search(r"-part[0-9]+$", name):
            return "/dev/vda" if one_disk else name
        device = names.device(name)
        return (names.link(device) if device else "") or name

    return _INSTALLED_ON.sub(replaced, text)
