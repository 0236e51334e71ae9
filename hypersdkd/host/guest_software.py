"""What is installed in a Linux guest, told by its files: kernels, what makes their initramfs, SELinux, tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from hypersdkd.model.guest_facts import READ_LIMIT, Kernel
from hypersdkd.model.problem import ProblemError, one_line

#: Kernels that are told of; more than any guest keeps.
_KERNELS: Final = 100

#: Characters of a guest's own words that are kept.
_WORDS: Final = 200

#: How distributions call the initramfs of a release: Debian, Fedora and Arch, openSUSE.
_INITRAMFS: Final = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}", "initramfs-{}")

#: Where the partition of boot loader entries is mounted.
_ENTRY_PLACES: Final = ("/boot", "/efi", "/boot/efi")

#: By which program each tool that makes an initramfs is known, in the order in which they win.
_TOOLS: Final = (
    ("dracut", ("/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut")),
    ("initramfs-tools", ("/usr/sbin/update-initramfs", "/usr/sbin/mkinitramfs")),
    ("mkinitcpio", ("/usr/bin/mkinitcpio",)),
)

#: What belongs to a former hypervisor, by a file of it.
_FORMER: Final = (
    ("open-vm-tools", "/usr/bin/vmtoolsd"),
    ("vmware-tools", "/usr/lib/vmware-tools/sbin/vmtoolsd"),
    ("vmware-tools", "/etc/vmware-tools/locations"),
    ("virtualbox-guest-utils", "/usr/sbin/VBoxService"),
    ("virtualbox-guest-utils", "/usr/bin/VBoxService"),
    ("hyperv-daemons", "/usr/sbin/hv_kvp_daemon"),
    ("xe-guest-utilities", "/usr/sbin/xe-daemon"),
)


class Looked(Protocol):
    """What is needed of ``host.guest_system.RecordedSystem``."""

    def kind(self, path: str) -> str:
        """What is there."""

    def names(self, directory: str) -> Sequence[str]:
        """What is in it."""

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes | None:
        """What a file holds."""


def kernels(guest: Looked) -> tuple[Kernel, ...]:
    """Kernels that have an image in ``/boot`` or in their directory of modules, by their release."""
    boot = set(guest.names("/boot"))
    releases = [
        name for name in guest.names("/lib/modules") if guest.kind(f"/lib/modules/{name}/modules.dep") == "file"
    ]
    found: list[Kernel] = []
    for release in releases[:_KERNELS]:
        # Arch's images are called after the package, which the directory of modules names.
        package = (_text(guest, f"/lib/modules/{release}/pkgbase") or "").strip()
        words = [release, *([package] if re.fullmatch(r"[\w.+-]+", package) else [])]
        image = _first(boot, [f"{kind}-{word}" for word in words for kind in ("vmlinuz", "vmlinux", "Image", "kernel")])
        if not image:
            own = f"/lib/modules/{release}/vmlinuz"
            image = own if guest.kind(own) == "file" else ""
        if image:
            initramfs = _first(boot, [form.format(word) for word in words for form in _INITRAMFS])
            initramfs = initramfs or _installed_initramfs(guest, release)
            found.append(Kernel(release, image, initramfs, f"/lib/modules/{release}"))
    return tuple(found)


def _installed_initramfs(guest: Looked, release: str) -> str:
    """Where kernel-install(8) puts it for loaders of the boot loader specification: ``BOOT/TOKEN/RELEASE/initrd``."""
    texts = (_text(guest, path) or "" for path in ("/etc/kernel/entry-token", "/etc/machine-id"))
    tokens = [token for token in map(str.strip, texts) if re.fullmatch(r"\w[\w.-]*", token)]
    paths = [f"{place}/{token}/{release}/initrd" for place in _ENTRY_PLACES for token in tokens]
    return next((path for path in paths if guest.kind(path) == "file"), "")


def _first(boot: set[str], names: Sequence[str]) -> str:
    return next((f"/boot/{name}" for name in names if name in boot), "")


def initramfs_tool(guest: Looked) -> str:
    """The tool that makes the guest's initramfs; empty if it is none of those that are known."""
    return next((tool for tool, programs in _TOOLS if any(guest.kind(program) for program in programs)), "")


def selinux(guest: Looked) -> str:
    """What ``/etc/selinux/config`` says; empty where there is none."""
    text = _text(guest, "/etc/selinux/config") or ""
    found = re.search(r"^\s*SELINUX\s*=\s*(enforcing|permissive|disabled)\s*$", text, re.MULTILINE)
    return found[1] if found else ""


def former_tools(guest: Looked) -> tuple[str, ...]:
    """Tools of the hypervisor that the guest was made for."""
    return tuple(dict.fromkeys(tool for tool, path in _FORMER if guest.kind(path)))


def product(guest: Looked) -> str:
    """What the system calls itself, ``PRETTY_NAME`` of os-release(5); empty where it does not."""
    found = re.search(r"^PRETTY_NAME=(.*)$", _text(guest, "/etc/os-release") or "", re.MULTILINE)
    return one_line(found[1].strip().strip("\"'")[:_WORDS]) if found else ""


def _text(guest: Looked, path: str) -> str | None:
    """A file's text; a strange one tells nothing."""
    try:
        content = guest.read(path)
    except ProblemError:
        return None
    return None if content is None else content.decode(errors="replace")
