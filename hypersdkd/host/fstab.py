"""fstab and its relatives as texts: names of devices replaced by those that stay, and nothing else touched.

Each function returns the text and the names whose device it could not find.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hypersdkd.host.stable_names import BY_PATH, StableNames, is_fleeting
from hypersdkd.model.guest_facts import BlockDevice

#: A text and the names in it that stayed, because it is not known what they mean.
Edited = tuple[str, tuple[str, ...]]

_FSTAB_LINE: Final = re.compile(r"(\s*)([^\s#]\S*)(\s+\S+\s+)(\S+)((?:\s+)?)(\S*)(.*)", re.DOTALL)
_CRYPTTAB_LINE: Final = re.compile(r"(\s*[^\s#]\S*\s+)(\S+)(.*)", re.DOTALL)
_DEVICE_OPTION: Final = re.compile(r"(?<![^,\s])(device|logdev|rtdev|journal_path)=(/dev/[^,\s]+)")
_RESUME: Final = re.compile(r"^([ \t]*(?:RESUME|resume device)[ \t]*=[ \t]*[\"']?)(/dev/[^\s\"']+)", re.MULTILINE)

#: Words of a crypttab line whose volume gets a new key, and so new content, at each start.
_ANEW: Final = re.compile(r"/dev/u?random\b|(?<![^\s,])(?:swap|tmp|plain)(?![^\s,=])")


def stabilized_fstab(text: str, names: StableNames, *, only_by_path: bool = False) -> Edited:
    """fstab with ``UUID=`` or ``PARTUUID=`` in place of names by bus; ``only_by_path`` leaves all but ``by-path``.

    A line that need not be there at boot (``noauto``, ``nofail``) is not told of if its device is not known. Two
    names that seem to mean one device are both left: one of them is wrong.
    """
    lines = text.split("\n")
    wanted: dict[int, tuple[re.Match[str], BlockDevice | None]] = {}
    meant: dict[tuple[int | None, int], set[str]] = {}
    for number, line in enumerate(lines):
        match = _FSTAB_LINE.fullmatch(line)
        if match is None or not is_fleeting(match[2]) or (only_by_path and not match[2].startswith(BY_PATH)):
            continue
        device = names.device(match[2], match[4])
        wanted[number] = match, device
        if device:
            meant.setdefault((device.disk, device.partition), set()).add(match[2])
    unknown = []
    for number, (match, device) in wanted.items():
        clear = device is not None and len({_kind(name) for name in meant[device.disk, device.partition]}) == 1
        spec = names.spec(device) if device is not None and clear else ""
        if spec:
            lines[number] = f"{match[1]}{spec}{''.join(match.groups()[2:])}"
        elif not {"noauto", "nofail"} & set(match[6].split(",")):
            unknown.append(match[2])
    if not only_by_path:
        lines = [_DEVICE_OPTION.sub(_option(names), line) if _FSTAB_LINE.fullmatch(line) else line for line in lines]
    return "\n".join(lines), tuple(unknown)


def _kind(name: str) -> str:
    """The bus that a name is of, or how udev made it."""
    return "/".join(name.split("/")[:4]) if name.startswith("/dev/disk/") else name[:7]


def _option(names: StableNames) -> Callable[[re.Match[str]], str]:
    def replaced(match: re.Match[str]) -> str:
        device = names.device(match[2])
        return f"{match[1]}={(device and names.link(device)) or match[2]}"

    return replaced


def stabilized_crypttab(text: str, names: StableNames) -> Edited:
    """crypttab with stable names of the encrypted devices; of the partition where the content is made anew."""
    lines, unknown = text.split("\n"), []
    for number, line in enumerate(lines):
        match = _CRYPTTAB_LINE.fullmatch(line)
        if match is None or not is_fleeting(match[2]):
            continue
        spec = names.stable(match[2], partition=bool(_ANEW.search(match[3])))
        if spec:
            lines[number] = f"{match[1]}{spec}{match[3]}"
        else:
            unknown.append(match[2])
    return "\n".join(lines), tuple(unknown)


def stabilized_resume(text: str, names: StableNames) -> Edited:
    """The file that names the device to resume from, of initramfs-tools or uswsusp, which wants a path."""
    unknown = []

    def replaced(match: re.Match[str]) -> str:
        if not is_fleeting(match[2]):
            return match[0]
        device = names.device(match[2], "swap")
        spec = (names.spec(device) if "RESUME" in match[1] else names.link(device)) if device else ""
        if not spec:
            unknown.append(match[2])
        return f"{match[1]}{spec or match[2]}"

    return _RESUME.sub(replaced, text), tuple(unknown)


_LVM_FILTER: Final = re.compile(r"^([ \t]*(?:global_)?filter[ \t]*=[ \t]*\[)([^\]\n#]*)", re.MULTILINE)

#: What an LVM filter needs to see virtio's disks; the first pattern that matches counts.
_ACCEPT_VIRTIO: Final = '"a|^/dev/vd[a-z]+[0-9]*$|"'


def virtio_accepted(text: str) -> str:
    """lvm.conf whose filters, if they accept disks by their SCSI names, accept virtio's as well."""

    def replaced(match: re.Match[str]) -> str:
        rules = match[2]
        if not re.search(r"[\"']a.[^\"']*(?:sd|hd|disk/by-)", rules) or "/dev/vd" in rules:
            return match[0]
        return f"{match[1]} {_ACCEPT_VIRTIO}, {rules.lstrip()}"

    return _LVM_FILTER.sub(replaced, text)
