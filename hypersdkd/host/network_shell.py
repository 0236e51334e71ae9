"""Interfaces in the configuration of ifupdown, of initscripts and wicked (ifcfg), and of netctl."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Final

from hypersdkd.host.network_names import Interface, card_name, mac_of

#: What begins a part of /etc/network/interfaces (interfaces(5)).
_STANZA: Final = re.compile(r"(iface|auto|mapping|source|source-directory|rename|template|(?:allow|no)-\S+)\s")

#: Options of a virtual interface that name the cards below it.
_BELOW: Final = re.compile(r"(vlan[-_]raw[-_]device|bridge[-_]ports|bond[-_](?:slaves|primary))\s+(.*)")
_ADDRESS: Final = re.compile(r"address\s+(\S+)")

_ASSIGNMENT: Final = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(\w+)=(?:\"([^\"\n]*)\"|'([^'\n]*)'|\(([^)\n]*)\)|([^\s#]*))", re.MULTILINE
)
_LOWER: Final = re.compile(r"ETHERDEVICE|PHYSDEV|BRIDGE_PORTS|BONDING_SLAVE_?\w*")
_IP: Final = re.compile(r"IPADDR_?\w*|IPV6ADDR(?:_SECONDARIES)?")

#: Copies that nothing reads.
_BACKUP: Final = re.compile(r".*(?:~|\.bak|\.old|\.orig|\.rpm(?:new|orig|save)|\.dpkg-\w+|\.swp)")


def is_backup(name: str) -> bool:
    """Whether a file is one that an editor or a package left beside the real one."""
    return _BACKUP.fullmatch(name) is not None


def ifupdown_interfaces(text: str, path: str) -> Iterator[Interface]:
    """The cards in /etc/network/interfaces or a file beside it."""
    name = ""
    addresses: list[str] = []
    for line in map(str.strip, [*text.replace("\\\n", " ").split("\n"), "iface lo"]):
        if _STANZA.match(f"{line} "):
            if name:
                yield Interface(name, path, addresses=tuple(addresses))
            words = line.split()
            name = card_name(words[1]) if words[0] == "iface" and len(words) > 1 else ""
            addresses = []
        elif match := _BELOW.match(line):
            for below in map(card_name, match.group(2).split()):
                if below:
                    yield Interface(below, path)
            name = name if card_name(name) and "vlan" in match.group(1) else ""
        elif match := _ADDRESS.match(line):
            addresses.append(match.group(1))


def ifcfg_interfaces(text: str, path: str) -> Iterator[Interface]:
    """The cards in an ifcfg file of Red Hat's or SUSE's kind."""
    values = shell_values(text)
    for key, value in values.items():
        if _LOWER.fullmatch(key):
            yield from (Interface(name, path) for name in map(card_name, value.split()) if name)
    if values.get("TYPE", "Ethernet").lower() not in {"ethernet", "vlan"} or "yes" in {
        values.get(key, "").lower() for key in ("BONDING_MASTER", "BRIDGE")
    }:
        return
    name = values.get("DEVICE", "")
    if not name and path.startswith("/etc/sysconfig/network/"):  # SUSE's are named by the file
        name = posixpath.basename(path).removeprefix("ifcfg-")
    mac = mac_of(values.get("HWADDR", ""))
    if (card := card_name(name)) or (mac and not name):
        addresses = tuple(value for key, value in values.items() if _IP.fullmatch(key) and value)
        yield Interface(card, path, mac, addresses)


def netctl_interfaces(text: str, path: str) -> Iterator[Interface]:
    """The card in a profile of netctl."""
    values = shell_values(text)
    if values.get("Connection") == "ethernet" and (name := card_name(values.get("Interface", ""))):
        yield Interface(name, path, addresses=tuple(values.get("Address", "").replace("'", "").split()))


def shell_values(text: str) -> Mapping[str, str]:
    """The assignments of a file that a shell would read; nothing is expanded."""
    return {match[1]: next((part for part in match.groups()[1:] if part), "") for match in _ASSIGNMENT.finditer(text)}
