"""FIX: an older udev names network cards in the initramfs once and for all, so the names must be known there already.

From systemd 240 on udev renames a card again when the guest's own file system is there; in earlier ones the name that a
card got in the initramfs stays. Only those need this.
"""

from __future__ import annotations

import posixpath
import re
import stat
from collections.abc import Mapping, Sequence
from typing import Final

from hypersdkd.host.cpio import Member
from hypersdkd.host.initramfs import FILE_LIMIT, Initramfs, read_initramfs, with_members
from hypersdkd.model.guest_facts import GuestFacts, Kernel
from hypersdkd.model.problem import Problem, fail, one_line
from hypersdkd.spec.fixing import attempt
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer, GuestSystem, is_linux

#: The first systemd whose udev gives a card a second name (NEWS of systemd 240).
_RENAMES_AGAIN: Final = 240

_LIBRARY: Final = re.compile(r"libsystemd-shared-(\d+)")
_LIBRARY_PLACES: Final = ("/usr/lib/systemd", "/lib/systemd", "/usr/lib/{}-linux-gnu/systemd")

_LINKS: Final = "/etc/systemd/network"
_OWN: Final = "10-hypersdkd-"

#: What names cards by ``.link`` files; an initramfs without it leaves them their names.
_NAMING_RULES: Final = "80-net-setup-link.rules"


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it after what may make an initramfs anew."""
    return (Fixer("network-early", "network", fix_network_early, applies=_applies, order=910),)


def _applies(facts: GuestFacts) -> bool:
    return is_linux(facts) and any(kernel.initramfs for kernel in facts.kernels)


def fix_network_early(context: FixContext) -> None:
    """Append the ``.link`` files that bind names to cards to each initramfs that would name cards without them."""
    system = context.system
    names = [name for name in system.names(_LINKS) if name.startswith(_OWN)]
    if not names or _version(system) >= _RENAMES_AGAIN:
        return
    links = {f"{_LINKS}/{name}"[1:]: system.read(f"{_LINKS}/{name}") or b"" for name in names}
    for kernel in system.facts.kernels:
        if kernel.initramfs:
            attempt(context, lambda kernel=kernel: _add(context, kernel, links))  # type: ignore[misc]


def _version(system: GuestSystem) -> int:
    """systemd's version, by the name of its library; 0 where there is none, as in the oldest."""
    places = [place.format(system.facts.arch) for place in _LIBRARY_PLACES]
    found = [_LIBRARY.match(name) for place in places for name in system.names(place)]
    return max((int(match.group(1)[:6]) for match in found if match), default=0)


def _add(context: FixContext, kernel: Kernel, links: Mapping[str, bytes]) -> None:
    data = context.system.read(kernel.initramfs, FILE_LIMIT)
    if data is None:
        return
    initramfs = read_initramfs(data, frozenset(map(posixpath.basename, links)))
    if not any(posixpath.basename(name) == _NAMING_RULES for name in initramfs.members):
        return
    members = _members(initramfs, links)
    if not members:
        return
    if initramfs.compressions[-1:] == ("lz4",):
        message = one_line(f"{kernel.initramfs} cannot be added to: a network card may get another name in it")
        remedy = "Run `update-initramfs -u` or `dracut -f` in the converted guest once."
        context.warn(Problem("guest-network", message, remedy=remedy))
        return
    addition = with_members(data, members)
    if context.system.free(posixpath.dirname(kernel.initramfs)) < len(addition):
        raise fail("guest-no-space", f"{kernel.initramfs} in the guest needs {len(addition)} bytes more")
    context.system.append(kernel.initramfs, addition)


def _members(initramfs: Initramfs, links: Mapping[str, bytes]) -> list[Member]:
    """The files that are not in it as they should be, after the directories that they need."""
    files: list[Member] = []
    directories: dict[str, Member] = {}
    for path, content in links.items():
        name = initramfs.resolve(path)
        there = initramfs.members.get(name)
        if there is not None and there.content == content:
            continue
        above = posixpath.dirname(name).split("/")
        for count in range(1, len(above) + 1):
            directory = "/".join(above[:count])
            if directory not in initramfs.members:
                directories[directory] = Member(directory, stat.S_IFDIR | 0o755, 0)
        files.append(Member(name, stat.S_IFREG | 0o644, len(content), content))
    return [*directories.values(), *files]
