"""Names of network interfaces: which card each name of a guest's configuration means, and how the card keeps it.

udev makes names of the slot that a card is in. VMware's slots are not KVM's, so ``ens192`` would become ``enp1s0`` and
its addresses would stay behind. A name that is bound to the card's MAC stays with the card.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

#: What Linux takes as a name (IFNAMSIZ), of the characters that nothing treats specially.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,14}")

#: Characters of a name or pattern that are looked at: a longer one is none.
_LONGEST: Final = 64
_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")

#: Interfaces that no card is behind.
_VIRTUAL: Final = re.compile(
    r"lo|(?:br|bond|team|vlan|tun|tap|wg|dummy|docker|virbr|veth|ppp|sl|wl|ww|ib|vmnet|vboxnet|vnet|lxc|lxd|cni|cali|"
    r"flannel|kube|ip6tnl|sit|gre|ifb|macvlan|macvtap|ovs)[\w-]*"
)

#: PCI slots of VMware's first ten PCIe cards in the order in which they are added, as an exported VMX has them.
_SLOTS: Final = (192, 224, 256, 161, 193, 225, 257, 162, 194, 226)

#: What udev would call the first card of a KVM guest: a pattern that matches these needs no help.
_NAMES_ON_KVM: Final = ("enp1s0", "eth0")

#: Drivers of cards that a guest leaves behind: VMware's, VirtualBox's and Hyper-V's, and what they emulate.
LEFT_DRIVERS: Final = ("vmxnet3", "vmxnet2", "vmxnet", "e1000e", "e1000", "pcnet32", "vlance", "hv_netvsc")
DRIVER: Final = "virtio_net"


@dataclass(frozen=True, slots=True)
class Interface:
    """A card's interface that the file ``path`` of a guest configures by ``name``, or by its ``mac`` without a name.

    ``mac`` is the card's, where the same file tells it. ``addresses`` are those that are given to it, as they stand
    there; an interface without any asks for one.
    """

    name: str
    path: str
    mac: str = ""
    addresses: tuple[str, ...] = ()


def mac_of(text: str) -> str:
    """A MAC address of a card in lower case with colons; empty for anything else."""
    mac = text.strip().lower().replace("-", ":")
    return mac if _MAC.fullmatch(mac) and mac != "00:00:00:00:00:00" and not int(mac[:2], 16) & 1 else ""


def card_name(text: str) -> str:
    """The name of a card's interface; empty for one that no card is behind, or that is none.

    A pattern that would not match on KVM (``ens*``) becomes a name that it matches; any other pattern is no name.
    VLANs and aliases (``ens192.10``, ``ens192:1``) are on the card of that name.
    """
    name = re.split(r"[.:]", text[:_LONGEST], maxsplit=1)[0]
    if "*" in name:
        fits = any(fnmatch.fnmatchcase(usual, name) for usual in _NAMES_ON_KVM)
        name = "" if fits else name.replace("*", str(_SLOTS[0]))
    return name if _NAME.fullmatch(name) and not _VIRTUAL.fullmatch(name) else ""


@dataclass(frozen=True, slots=True)
class Binding:
    """Which MAC belongs to which name. ``guessed`` are names whose card was taken by order, ``lost`` those without."""

    macs: Mapping[str, str] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def bind(
    names: Iterable[str], told: Mapping[str, Sequence[str]], cards: Sequence[str], taken: Collection[str] = ()
) -> Binding:
    """Find the MAC of each name: by what the guest's files tell, then by the cards that the source tells of, in order.

    A name that has its MAC in it (``enx…``) tells it. What is told of a card that is there counts before cards are
    given by order, and that before what is told of a card that the source does not know. Cards are given by order
    when there are as many as names left, or when each name says by its slot which one it is; those ``taken`` are not.
    """
    wanted = sorted(set(names), key=_order)
    hints = {name: [mac for mac in (*told.get(name, ()), _mac_in(name)) if mac] for name in wanted}
    macs: dict[str, str] = {}
    _take(macs, ((name, mac) for name in wanted for mac in hints[name] if mac in cards or not cards))
    rest = [name for name in wanted if name not in macs]
    free = [mac for mac in dict.fromkeys(cards) if mac not in {*macs.values(), *taken}]
    places = {name: _place(name) for name in rest}
    if rest and len(rest) == len(free):
        found = dict(zip(rest, free, strict=True))
    else:
        found = {name: cards[place] for name, place in places.items() if place is not None and place < len(cards)}
        found = {name: mac for name, mac in found.items() if mac in free}
    _take(macs, found.items())
    _take(macs, ((name, mac) for name in rest for mac in hints[name]))
    guessed = tuple(name for name in found if len(cards) > 1)
    return Binding(macs, guessed, tuple(name for name in wanted if name not in macs))


def _take(macs: dict[str, str], pairs: Iterable[tuple[str, str]]) -> None:
    """Each name gets the first MAC that no other has."""
    for name, mac in pairs:
        if name not in macs and mac not in macs.values():
            macs[name] = mac


def _mac_in(name: str) -> str:
    digits = name.removeprefix("enx")
    return mac_of(":".join(re.findall("..", digits))) if name.startswith("enx") and len(digits) == 12 else ""


def _place(name: str) -> int | None:
    """Which card a name means by itself: ``eth1``, ``ens224``."""
    if match := re.fullmatch(r"eth(\d{1,2})", name):
        return int(match.group(1))
    match = re.fullmatch(r"ens(\d{1,3})", name)
    return _SLOTS.index(int(match.group(1))) if match and int(match.group(1)) in _SLOTS else None


def _order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """VMware's order of slots, then that of the numbers in the names."""
    place = _place(name)
    parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
    return (len(_SLOTS) if place is None else place, parts)


_WORDS: Final = "# Written by hypersdkd: the card keeps the name that the guest's configuration has for it.\n"


def link_path(name: str) -> str:
    """Where the ``.link`` file of a name goes, before those that a distribution or netplan makes."""
    return f"/etc/systemd/network/10-hypersdkd-{name}.link"


def link_text(name: str, mac: str) -> str:
    """A ``.link`` file (systemd.link(5)) for the card with this MAC, or without one for a virtio card.

    ``Path=*`` keeps it from VLANs and bridges, which have their card's MAC and no hardware path.
    """
    match = f"MACAddress={mac}" if mac else f"Driver={DRIVER}"
    return f"{_WORDS}[Match]\n{match}\nPath=*\n\n[Link]\nName={name}\n"


def rule_text(macs: Mapping[str, str]) -> str:
    """udev's rules to the same end, for systems from before ``.link`` files."""
    rules = (
        f'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{{address}}=="{mac}", ATTR{{type}}=="1", NAME="{name}"\n'
        for name, mac in sorted(macs.items())
    )
    return _WORDS + "".join(rules)
