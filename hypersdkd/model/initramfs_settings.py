"""What to write into a guest's configuration so that its next initramfs has some modules too: texts in, texts out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: Where each tool reads it.
INITRAMFS_TOOLS: Final = "/etc/initramfs-tools/modules"
DRACUT: Final = "/etc/dracut.conf.d/50-virtio.conf"
MKINITCPIO: Final = "/etc/mkinitcpio.conf"

_MKINITCPIO_MODULES: Final = re.compile(r"^[ \t]*MODULES=[(\"'](?P<list>[^)\"'\n]*)[)\"']", re.MULTILINE)


def initramfs_tools_modules(text: str, modules: Sequence[str]) -> str:
    """``/etc/initramfs-tools/modules`` with these modules, one a line; those that are there are left."""
    there = {line.split("#")[0].strip().split(" ")[0].replace("-", "_") for line in text.splitlines()}
    lacking = [name for name in modules if name not in there]
    if not lacking:
        return text
    end = "" if not text or text.endswith("\n") else "\n"
    return text + end + "".join(f"{name}\n" for name in lacking)


def dracut_drivers(modules: Sequence[str]) -> str:
    """A file of ``/etc/dracut.conf.d``; dracut.conf(5) wants spaces at both ends of what is added."""
    return f'# The disk and the network of KVM.\nadd_drivers+=" {" ".join(modules)} "\n'


def mkinitcpio_modules(text: str, modules: Sequence[str]) -> str:
    """``/etc/mkinitcpio.conf`` with these modules in its last ``MODULES``, which is the one that counts."""
    matches = list(_MKINITCPIO_MODULES.finditer(text))
    there = set(matches[-1]["list"].replace("-", "_").split()) if matches else set()
    lacking = [name for name in modules if name not in there]
    if not lacking:
        return text
    if not matches:
        end = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{end}MODULES=({' '.join(modules)})\n"
    last = matches[-1]
    whole = " ".join([*last["list"].split(), *lacking])
    return text[: last.start("list")] + whole + text[last.end("list") :]
