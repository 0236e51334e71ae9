"""A guest's hardware, as far as LOAD, INSPECT and FIX found it out: what the converted guest is given in its place.

Findings come from strangers' documents and from the guest: whatever is not as it should be counts as not known.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hypersdkd.model.problem import one_line

#: Network cards of a guest at most; VMware's have ten.
MOST_CARDS: Final = 16

#: GiB of memory at most: what vSphere gives a guest.
_MOST_MEMORY: Final = 24 << 10

#: Characters of a network's name that are kept.
_NAME_LENGTH: Final = 200

_FIRMWARE: Final = {"bios": "bios", "uefi": "uefi", "efi": "uefi"}

_MAC: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: its MAC in lower case, and what it was connected to; empty where that is not known."""

    mac: str
    network: str = ""


def cards(findings: Mapping[str, object]) -> tuple[Card, ...]:
    """The cards that the source tells of (``nics``), else those that the guest configures (``interfaces``).

    Exporters often leave the MACs out; then those that the guest knows its cards by are given to them in order.
    """
    told = [Card(_mac(item), str(item.get("network", "") or "")) for item in _items(findings, "nics")]
    known = dict.fromkeys(mac for item in _items(findings, "interfaces") if (mac := _mac(item)))
    if not told:
        return tuple(map(Card, known))[:MOST_CARDS]
    taken: set[str] = set()
    spare = [mac for mac in known if all(mac != card.mac for card in told)]
    found = []
    for card in told[:MOST_CARDS]:
        mac = card.mac if card.mac not in taken else ""
        mac = mac or (spare.pop(0) if spare else "")
        taken.add(mac)
        found.append(Card(mac, card.network))
    return tuple(found)


def told_hardware(vm: Mapping[str, object], nics: Sequence[object]) -> Mapping[str, object]:
    """The findings ``hardware`` and ``nics`` of what an exporter tells in its manifest; what is strange is left out.

    It is ``vm.cpu``, ``memory_gb`` or ``mem_gb`` (GiB) and ``firmware``, and each card's ``mac`` and ``network``.
    """
    cpus, gib = vm.get("cpu"), vm.get("memory_gb", vm.get("mem_gb"))
    hardware: dict[str, object] = {}
    if isinstance(cpus, int) and not isinstance(cpus, bool) and cpus > 0:
        hardware["cpus"] = cpus
    if isinstance(gib, int | float) and not isinstance(gib, bool) and 0 < gib <= _MOST_MEMORY:
        hardware["memory_bytes"] = int(gib * (1 << 30))
    told = str(vm.get("firmware", "")).lower()
    if told in _FIRMWARE:
        hardware["firmware"] = _FIRMWARE[told]
    listed = [
        {"mac": _mac(nic), "network": one_line(str(nic.get("network") or ""))[:_NAME_LENGTH]}
        for nic in nics[:MOST_CARDS]
        if isinstance(nic, Mapping)
    ]
    return {key: value for key, value in (("hardware", hardware), ("nics", listed)) if value}


def addresses(findings: Mapping[str, object]) -> tuple[str, ...]:
    """The IPv4 addresses that the guest's own configuration gives it, without their prefixes."""
    found: dict[str, None] = {}
    for item in _items(findings, "interfaces"):
        listed = item.get("addresses")
        for text in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
            try:
                found[str(ipaddress.IPv4Interface(str(text)).ip)] = None
            except ValueError:
                continue  # IPv6, a name, or nothing
    return tuple(found)


def firmware(findings: Mapping[str, object]) -> str:
    """``bios`` or ``uefi``: what the disk can boot with, else what the source was set to."""
    system = findings.get("system")
    if isinstance(system, Mapping) and system.get("os_type"):
        return "uefi" if system.get("firmware") == "uefi" else "bios"
    return told_firmware(findings) or "bios"


def told_firmware(findings: Mapping[str, object]) -> str:
    """``bios`` or ``uefi`` as the source was set to; empty where it does not say."""
    hardware = findings.get("hardware")
    told = hardware.get("firmware") if isinstance(hardware, Mapping) else findings.get("firmware")
    return {"uefi": "uefi", "efi": "uefi", "bios": "bios"}.get(str(told).lower(), "")


def number(findings: Mapping[str, object], name: str) -> int | None:
    """A positive whole number of the hardware that the source tells of: ``cpus``, ``memory_bytes``."""
    hardware = findings.get("hardware")
    value = hardware.get(name) if isinstance(hardware, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _items(findings: Mapping[str, object], key: str) -> Iterator[Mapping[str, object]]:
    listed = findings.get(key)
    for item in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        if isinstance(item, Mapping):
            yield item


def _mac(item: Mapping[str, object]) -> str:
    mac = str(item.get("mac", "")).strip().lower().replace("-", ":")
    return mac if _MAC.fullmatch(mac) and not int(mac[:2], 16) & 1 else ""
