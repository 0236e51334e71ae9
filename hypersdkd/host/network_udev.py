"""udev's rules that name network cards, as texts: what they tell, and without those of hardware that is gone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from hypersdkd.host.network_names import DRIVER, LEFT_DRIVERS, mac_of

_ADDRESS: Final = re.compile(r"(?:ATTRS?|SYSFS)\{address\}==\"([^\"]*)\"")
_NAME: Final = re.compile(r"\bNAME:?=\"([^\"]*)\"")
_HARDWARE: Final = re.compile(
    rf"(?:DRIVERS?|ENV\{{ID_NET_DRIVER\}})==\"(?:{'|'.join(LEFT_DRIVERS)})\"|"
    r"(?:KERNELS|ID)==\"[0-9a-f]{4}:[^\"]*\"|ENV\{ID_PATH\}==\"pci-[^\"]*\""
)


def named_cards(text: str) -> Iterator[tuple[str, str]]:
    """Each name that a rule gives to the card with a MAC: the name, the MAC."""
    for line in _rules(text.split("\n")).values():
        name, address = _NAME.search(line), _ADDRESS.search(line)
        if name and address and (mac := mac_of(address.group(1))):
            yield name.group(1), mac


def without_stale_rules(text: str, cards: Collection[str]) -> str:
    """The rules without those that name a card by a driver or slot that it has no longer, or a card that is gone.

    ``cards`` are the MACs of all the guest's cards; where they are not known, each MAC in a rule may be one.
    """
    lines = text.split("\n")
    stale = {number for number, line in _rules(lines).items() if _is_stale(line, cards)}
    return "\n".join(line for number, line in enumerate(lines) if number not in stale)


def _rules(lines: list[str]) -> dict[int, str]:
    """The rules that name network cards, by line; one that goes on in the next line is not looked at."""
    whole = {number: line for number, line in enumerate(lines) if number == 0 or not lines[number - 1].endswith("\\")}
    return {
        number: line
        for number, line in whole.items()
        if 'SUBSYSTEM=="net"' in line
        and _NAME.search(line)
        and not line.lstrip().startswith("#")
        and not line.endswith("\\")
    }


def _is_stale(line: str, cards: Collection[str]) -> bool:
    address = _ADDRESS.search(line)
    gone = bool(cards) and address is not None and mac_of(address.group(1)) not in {*cards, ""}
    return gone or _HARDWARE.search(line) is not None


_ALIAS: Final = re.compile(rf"^(alias[ \t]+eth\d+[ \t]+)(?:{'|'.join(LEFT_DRIVERS)})([ \t]*)$", re.MULTILINE)


def aliases_replaced(text: str) -> str:
    """modprobe's aliases of cards, of the time before udev loaded drivers, with virtio's."""
    return _ALIAS.sub(rf"\1{DRIVER}\2", text)
