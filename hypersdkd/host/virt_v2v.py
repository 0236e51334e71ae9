"""virt-v2v, which changes a guest in place: on overlays of ours, never on a source. See virt-v2v-in-place(1)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from hypersdkd.host.libvirt_domain import disk_letters
from hypersdkd.host.process import Finished, describe_signal, run
from hypersdkd.host.socket_directory import socket_directory
from hypersdkd.model.problem import fail, one_line

PROGRAM: Final = "virt-v2v-in-place"

#: Where distributions put it that do not want it to be found; virt-v2v has had it since 2.1.
_HIDDEN: Final = Path("/usr/libexec") / PROGRAM

#: Seconds that it may take. Without KVM a Debian takes 180 of them, a Windows some times as many.
LIMIT_SECONDS: Final = 3 * 3600.0
_VERSION_SECONDS: Final = 60.0

#: Percent of the work that is done when it says that it begins with a part, by the first word of what it says.
_BEGUN: Final[Mapping[str, int]] = {
    "Opening": 2,
    "Inspecting": 8,
    "Checking": 15,
    "Converting": 16,
    "Mapping": 92,
    "Closing": 96,
    "Finishing": 98,
}

#: Warnings that are passed on at most, and characters of each: a guest's names may be in them.
_MOST_WARNINGS: Final = 50
_WORDS: Final = 500

#: Either installs what a Windows runs at its first start.
_SERVICES: Final = ("rhsrvany.exe", "pvvxsvc.exe")


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be changed: ``overlays`` are qcow2 files in boot order, ``root`` the device of the system among them
    by libguestfs' name. ``environment`` has what it needs to find the appliance.

    ``encrypted`` are the devices that are opened by one of ``keys``.
    """

    overlays: Sequence[Path]
    root: str
    directory: Path
    environment: Mapping[str, str]
    encrypted: Sequence[str] = ()
    keys: Sequence[str] = field(default=(), repr=False)


def program() -> str:
    """The program. Raises ``tool-missing``."""
    found = shutil.which(PROGRAM) or shutil.which(_HIDDEN)
    if found is None:
        raise fail(
            "tool-missing",
            f"{PROGRAM}, which changes this guest, is not installed",
            remedy="Install it: `apt install virt-v2v` (2.2 or newer), or leave FIX out.",
        )
    return found


def version() -> str:
    """The version, such as ``2.2.0``. Raises ``tool-missing``."""
    words = run([program(), "--version"], timeout=_VERSION_SECONDS).stdout.decode(errors="replace").split()
    return one_line(words[-1]) if words else "unknown"


def windows_obstacle() -> str:
    """What virt-v2v lacks for a Windows; empty if it has all."""
    drivers = windows_drivers()
    if not drivers.exists():
        return f"the virtio drivers for Windows are not at {drivers}"
    tools = Path(os.environ.get("VIRT_TOOLS_DATA_DIR") or "/usr/share/virt-tools")
    if not any((tools / name).exists() for name in _SERVICES):
        return f"neither {' nor '.join(_SERVICES)} is in {tools}"
    return ""


def windows_drivers() -> Path:
    """The virtio drivers for Windows, a directory or an ISO image, where virt-v2v looks for them."""
    named = os.environ.get("VIRTIO_WIN") or os.environ.get("VIRTIO_WIN_DIR")
    return Path(named or "/usr/share/virtio-win")


def require_windows() -> None:
    """Raises ``virtio-win-missing`` where a Windows cannot be changed."""
    if obstacle := windows_obstacle():
        raise fail("virtio-win-missing", f"virt-v2v cannot change a Windows here: {obstacle}")


def change(
    work: Work, on_percent: Callable[[int], None], say: Callable[[str], None], watch: Callable[[], None]
) -> Sequence[str]:
    """Change the guest; the warnings of virt-v2v. ``say`` gets what it says meanwhile, ``watch`` is called often.

    Raises ``virt-v2v-failed``, ``tool-missing`` and ``tool-timeout``, and what ``watch`` does; the overlays are of no
    use then.
    """
    heard = _Heard(on_percent, say)
    with ExitStack() as stack:
        keys = [_in_memory(key, stack) for key in work.keys]
        sockets = socket_directory(Path(os.environ.get("XDG_RUNTIME_DIR") or work.directory))
        environment = {**work.environment, "TMPDIR": str(sockets), "VIRT_V2V_TMPDIR": str(work.directory)}
        try:
            done = run(
                arguments(work, keys),
                timeout=LIMIT_SECONDS,
                on_line=heard.line,
                watch=watch,
                env=environment,
                pass_fds=keys,
            )
        finally:
            for left in sockets.glob("v2v.*"):  # it removes its own, unless it was killed
                shutil.rmtree(left, ignore_errors=True)
    if done.returncode:
        raise fail("virt-v2v-failed", f"virt-v2v failed: {heard.error or _reason(done)}", detail=done.stderr)
    return heard.warnings


def arguments(work: Work, keys: Sequence[int]) -> Sequence[str]:
    """Its command line; writes the description of the guest that it reads. ``keys`` are descriptors."""
    description = work.directory / "virt-v2v.xml"
    description.write_bytes(_description(work.overlays))
    given = [f"{device}:file:/proc/self/fd/{key}" for device in work.encrypted for key in keys]
    argv = [program(), "--quiet", "--machine-readable=stream:stdout", "--root", work.root]
    return [*argv, *(word for key in given for word in ("--key", key)), "-i", "libvirtxml", str(description)]


def _description(overlays: Sequence[Path]) -> bytes:
    """As little of libvirt's XML as virt-v2v takes: the disks. It changes what is on them, not what is said here."""
    domain = ElementTree.Element("domain", type="kvm")
    for name, word in (("name", "guest"), ("memory", str(2 << 20)), ("vcpu", "1")):
        ElementTree.SubElement(domain, name).text = word
    ElementTree.SubElement(ElementTree.SubElement(domain, "os"), "type").text = "hvm"
    devices = ElementTree.SubElement(domain, "devices")
    for number, overlay in enumerate(overlays):
        disk = ElementTree.SubElement(devices, "disk", type="file", device="disk")
        ElementTree.SubElement(disk, "driver", name="qemu", type="qcow2")
        ElementTree.SubElement(disk, "source", file=str(overlay))
        ElementTree.SubElement(disk, "target", dev=f"sd{disk_letters(number)}", bus="scsi")
    text: bytes = ElementTree.tostring(domain, encoding="utf-8")
    return text


def _in_memory(key: str, stack: ExitStack) -> int:
    """A file with a key that is on no disk; virt-v2v is handed its descriptor."""
    fd = os.memfd_create("key", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    os.write(fd, key.encode())
    return fd


def _reason(done: Finished) -> str:
    if done.returncode < 0:
        return describe_signal(-done.returncode)
    return one_line(done.stderr.rpartition("\n")[2][:_WORDS]) or f"it ended with {done.returncode}"


class _Heard:
    """What virt-v2v says in its machine-readable form, one JSON object a line."""

    def __init__(self, on_percent: Callable[[int], None], say: Callable[[str], None]) -> None:
        self.warnings: list[str] = []
        self.error = ""
        self._on_percent = on_percent
        self._say = say

    def line(self, line: str) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict) or not isinstance(said.get("message"), str):
            return
        kind, message = said.get("type"), one_line(said["message"][:_WORDS])
        if kind == "error":
            self.error = message
        elif kind == "warning" and len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(message)
        self._say(f"virt-v2v: {message}")
        percent = _BEGUN.get(message.partition(" ")[0]) if kind == "message" else None
        if percent is not None:
            self._on_percent(percent)
