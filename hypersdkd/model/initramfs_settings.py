"""What to write into a guest's configuration so that its next initramfs has some modules too: texts in, texts out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: Where each tool reads it.
INITRAMFS_TOOLS: Final = "/etc/initramfs-tools/modules"
DRACUT: Final = "/etc/dracut.conf.d/50-virtio.conf"
MKINITCPIO: Final = "/etc/mkinitcpio.conf"
MKINITCPIO_PARTS: Final = "/etc/mkinitcpio.conf.d"

#: Bash's array, which may have lines, comments and quoted words, or the string of before it was one. ``+=`` adds to it.
_MKINITCPIO_MODULES: Final = re.compile(
    r"^[ \t]*MODULES\+?=(?:\((?P<array>(?:#[^\n]*+|[^()#]++)*+)\)|(?P<quote>[\"'])(?P<string>[^\"'\n]*)(?P=quote))",
    re.MULTILINE,
)


def initramfs_tools_modules(text: str, modules: Sequence[str]) -> str:
    """``/etc/initramfs-tools/modules`` with these modules, one a line; those that are there are left."""
    there = {line.split("#")[0].strip().split(" ")[0].replace("-", "_") for line in text.splitlines()}
    lacking = [name for name in modules if name not in there]
    if not lacking:
        return text
    return _with_lines(text, lacking)


def dracut_drivers(text: str, modules: Sequence[str]) -> str:
    """A file of ``/etc/dracut.conf.d`` with these modules after what it has; dracut.conf(5) wants spaces at both ends
    of what is added."""
    added = f'add_drivers+=" {" ".join(modules)} "'
    if added in (line.strip() for line in text.split("\n")):
        return text
    return _with_lines(text, ["# The disk and the network of KVM.", added])


def mkinitcpio_modules(text: str, modules: Sequence[str]) -> str:
    """``/etc/mkinitcpio.conf``, or a file beside it, with these modules in its last ``MODULES``, which counts."""
    last = next(reversed(list(_MKINITCPIO_MODULES.finditer(text))), None)
    if last is None:
        return _with_lines(text, [f"MODULES+=({' '.join(modules)})"])
    group = "string" if last["array"] is None else "array"
    words = re.sub(r"#[^\n]*|[\"']", " ", last[group])
    there = set(words.replace("-", "_").split())
    lacking = " ".join(name for name in modules if name not in there)
    if not lacking:
        return text
    before = last[group].rstrip()
    space = "\n" if "#" in before.rpartition("\n")[2] else " " if before else ""
    return f"{text[: last.start(group)]}{before}{space}{lacking}{last[group][len(before) :]}{text[last.end(group) :]}"


def mkinitcpio_sets_modules(text: str) -> bool:
    """Whether a file of ``/etc/mkinitcpio.conf.d`` has its own ``MODULES``, by which those of before may be lost."""
    return _MKINITCPIO_MODULES.search(text) is not None


def _with_lines(text: str, added: Sequence[str]) -> str:
    end = "" if not text or text.endswith("\n") else "\n"
    return text + end + "".join(f"{line}\n" for line in added)
