"""Interfaces in files with sections, NetworkManager's and systemd-networkd's; and matches freed of hardware."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from hypersdkd.host.network_names import DRIVER, LEFT_DRIVERS, Interface, card_name, mac_of

_SECTION: Final = re.compile(r"\s*\[([^\]\n]*)\]\s*")
_SETTING: Final = re.compile(r"(\s*)([\w-]+)(\s*=\s*)(.*\S|)(\s*)", re.DOTALL)

#: How a section is written that says which card a file is for: systemd's and NetworkManager's.
_MATCH: Final = frozenset({"Match", "match"})
_ETHERNET: Final = frozenset({"ethernet", "802-3-ethernet"})

#: A hardware path of a card on a bus that the guest leaves.
_PATH: Final = re.compile(r"(?:pci|acpi|vmbus)-[\w:.-]+")


def settings(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Each setting: the number of its line from 0, its section, its key, its value."""
    section = ""
    for number, line in enumerate(text.split("\n")):
        if match := _SECTION.fullmatch(line):
            section = match.group(1)
        elif not line.lstrip().startswith(("#", ";")) and (match := _SETTING.fullmatch(line)):
            yield number, section, match.group(2), match.group(4)


def connection_interfaces(text: str, path: str) -> Iterator[Interface]:
    """The card of a NetworkManager connection, and the one that a VLAN is on."""
    values = {(section, key): value for _, section, key, value in settings(text)}
    if name := card_name(values.get(("vlan", "parent"), "")):
        yield Interface(name, path)
    if values.get(("connection", "type"), "") not in _ETHERNET:
        return
    names = values.get(("connection", "interface-name"), "") or values.get(("match", "interface-name"), "")
    mac = next(
        (mac_of(value) for (section, key), value in values.items() if section in _ETHERNET and key == "mac-address"), ""
    )
    addresses = tuple(
        value.split(",")[0]
        for (section, key), value in values.items()
        if section in {"ipv4", "ipv6"} and re.fullmatch(r"address(?:es)?\d*", key) and value
    )
    yield from _cards(re.split(r"[;,\s]+", names), path, mac, addresses)


def networkd_interfaces(text: str, path: str) -> Iterator[Interface]:
    """The cards of a ``.network`` file."""
    values = list(settings(text))
    mac = next((mac_of(value) for _, section, key, value in values if section in _MATCH and "MACAddress" in key), "")
    names = [
        name for _, section, key, value in values if section == "Match" and key == "Name" for name in value.split()
    ]
    addresses = tuple(
        value for _, section, key, value in values if key == "Address" and section in {"Network", "Address"}
    )
    yield from _cards(names, path, mac, addresses)


def _cards(names: Sequence[str], path: str, mac: str, addresses: tuple[str, ...]) -> Iterator[Interface]:
    """One for each name; one without a name where the MAC alone tells which card it is."""
    found = list(filter(None, map(card_name, names)))
    if mac and not found and all("*" in name for name in names if name):
        found = [""]
    yield from (Interface(name, path, mac, addresses) for name in found)


def linked_name(text: str) -> tuple[str, str]:
    """The name that a ``.link`` file gives and the MAC of the card that gets it; empty where it has none."""
    values = {(section, key): value for _, section, key, value in settings(text)}
    mac = values.get(("Match", "MACAddress")) or values.get(("Match", "PermanentMACAddress")) or ""
    return values.get(("Link", "Name"), ""), mac_of(mac)


def virtual_name(text: str) -> str:
    """The interface that a ``.netdev`` file makes."""
    return next((value for _, section, key, value in settings(text) if (section, key) == ("NetDev", "Name")), "")


def freed_of_hardware(text: str, mac: str) -> tuple[str, bool]:
    """Matches of a card by its old driver now match virtio's; by its bus, the card with this MAC.

    Tells as well whether a match by bus is left, because there is no ``mac``.
    """
    lines, left = text.split("\n"), False
    for number, section, key, value in settings(text):
        if section not in _MATCH:
            continue
        parts = _SETTING.fullmatch(lines[number])
        if parts is None:
            continue
        if key in {"Driver", "driver"} and (words := re.findall(r"[^\s;,]+", value)) and set(words) & set(LEFT_DRIVERS):
            if DRIVER not in words:
                lines[number] = re.sub(rf"\b({'|'.join(LEFT_DRIVERS)})\b", DRIVER, lines[number])
        elif key in {"Path", "path"} and _PATH.fullmatch(value):
            if mac and key == "Path":
                lines[number] = f"{parts[1]}MACAddress{parts[3]}{mac}{parts[5]}"
            else:
                left = True
    return "\n".join(lines), left
