"""FIX: each network card keeps the name that the guest's configuration has for it, and with the name its addresses."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from hypersdkd.host import network_ini, network_netplan, network_shell, network_udev
from hypersdkd.host.network_names import Binding, Interface, bind, link_path, link_text, rule_text
from hypersdkd.model.guest_hardware import cards
from hypersdkd.model.problem import Problem, one_line
from hypersdkd.spec.fixing import attempt, edit, files_in, present, text_of
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.system import FixContext, Fixer

_NETPLAN: Final = "/etc/netplan"
_CONNECTIONS: Final = "/etc/NetworkManager/system-connections"
_NETWORKD: Final = "/etc/systemd/network"
_RULES: Final = "/etc/udev/rules.d"
_OWN_RULES: Final = f"{_RULES}/70-hypersdkd-net.rules"

#: A file of every udev that reads ``.link`` files.
_DEFAULT_LINKS: Final = ("/usr/lib/systemd/network/99-default.link", "/lib/systemd/network/99-default.link")

_Parser = Callable[[str, str], Iterator[Interface]]

#: Where interfaces are configured: a directory, what its files begin and end with, and what reads one.
_PLACES: Final[Sequence[tuple[str, str, str, _Parser]]] = (
    ("/etc/network", "interfaces", "interfaces", network_shell.ifupdown_interfaces),
    ("/etc/network/interfaces.d", "", "", network_shell.ifupdown_interfaces),
    ("/etc/sysconfig/network-scripts", "ifcfg-", "", network_shell.ifcfg_interfaces),
    ("/etc/sysconfig/network", "ifcfg-", "", network_shell.ifcfg_interfaces),
    (_CONNECTIONS, "", "", network_ini.connection_interfaces),
    (_NETWORKD, "", ".network", network_ini.networkd_interfaces),
    (_NETPLAN, "", ".yaml", network_netplan.netplan_interfaces),
    ("/etc/netctl", "", "", network_shell.netctl_interfaces),
)

#: Interfaces at most that a report lists and that get a name; no hypervisor has guests with so many cards.
_MOST: Final = 64


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """Declare it after the boot loader's."""
    return (Fixer("network", "network", fix_network, order=300),)


def fix_network(context: FixContext) -> None:
    """Level ``basic`` binds names to cards and removes stale rules; ``full`` also mends matches by hardware.

    The finding ``interfaces`` has each interface with its card's MAC, for what gives the converted guest its cards.
    """
    macs = [card.mac for card in cards({"nics": context.findings.get("nics")}) if card.mac]
    interfaces, told = _interfaces(context), _told(context)
    for each in interfaces:
        told.setdefault(each.name, []).append(each.mac)
    taken = {each.mac for each in interfaces if not each.name}
    binding = bind((each.name for each in interfaces if each.name), told, macs, taken)
    _drop_stale_rules(context, macs)
    if context.options.get("fix_level", "full") == "full":
        _free_of_hardware(context, {*macs, *binding.macs.values()})
        _keep_from_cloud_init(context, interfaces)
    _write_names(context, binding)
    _tell(context, interfaces, binding)


def _interfaces(context: FixContext) -> list[Interface]:
    """All interfaces that any file configures, each once for each file."""
    virtual = {
        network_ini.virtual_name(text_of(context, path) or "") for path in files_in(context, _NETWORKD, ".netdev")
    }
    found: list[Interface] = []
    there = set(present(context, [directory for directory, *_ in _PLACES]))
    for directory, start, end, parse in (place for place in _PLACES if place[0] in there):
        for path in files_in(context, directory, end):
            name = posixpath.basename(path)
            text = text_of(context, path) if name.startswith(start) and not network_shell.is_backup(name) else None
            if text is not None:
                attempt(context, lambda text=text, path=path, parse=parse: found.extend(parse(text, path)))  # type: ignore[misc]
    return list(islice((each for each in dict.fromkeys(found) if each.name not in virtual), _MOST))


def _told(context: FixContext) -> dict[str, list[str]]:
    """Which name has which MAC, by what names cards: ``.link`` files, then udev's rules."""
    told: dict[str, list[str]] = {}
    for path in files_in(context, _NETWORKD, ".link"):
        name, mac = network_ini.linked_name(text_of(context, path) or "")
        told.setdefault(name, []).append(mac)
    for path in files_in(context, _RULES, ".rules"):
        for name, mac in network_udev.named_cards(text_of(context, path) or ""):
            told.setdefault(name, []).append(mac)
    return told


def _drop_stale_rules(context: FixContext, macs: Sequence[str]) -> None:
    for path in files_in(context, _RULES, ".rules"):
        if path != _OWN_RULES:
            edit(context, path, lambda text: network_udev.without_stale_rules(text, macs))


def _free_of_hardware(context: FixContext, macs: set[str]) -> None:
    """Matches by driver or slot. Where there is one card, a match by slot can only have meant that one."""
    mac = next(iter(macs)) if len(macs) == 1 else ""
    stuck: list[str] = []

    def freed(text: str, path: str) -> str:
        after, left = network_ini.freed_of_hardware(text, mac)
        if left:
            stuck.append(path)
        return after

    for path in (
        *files_in(context, _NETWORKD, ".network"),
        *files_in(context, _NETWORKD, ".link"),
        *files_in(context, _CONNECTIONS),
    ):
        edit(context, path, lambda text, path=path: freed(text, path))  # type: ignore[misc]
    for path in files_in(context, _NETPLAN, ".yaml"):
        edit(context, path, network_netplan.driver_replaced)
    for path in ("/etc/modprobe.conf", *files_in(context, "/etc/modprobe.d", ".conf")):
        edit(context, path, network_udev.aliases_replaced)
    if stuck:
        shown = one_line(", ".join(stuck[:10]))
        context.warn(
            Problem("guest-network", f"a card is matched by its place on the bus, which is another now: {shown}")
        )


def _keep_from_cloud_init(context: FixContext, interfaces: Sequence[Interface]) -> None:
    """cloud-init takes the converted guest for a new one and would write its network anew, without fixed addresses."""
    made = [each for each in interfaces if "cloud-init" in posixpath.basename(each.path) and each.addresses]
    if made and context.system.kind("/etc/cloud/cloud.cfg.d") == "directory":
        text = b"# Written by hypersdkd: the addresses that cloud-init once gave stay.\nnetwork: {config: disabled}\n"
        context.system.write("/etc/cloud/cloud.cfg.d/99-hypersdkd-network.cfg", text)


def _write_names(context: FixContext, binding: Binding) -> None:
    system = context.system
    masked = system.target(f"{_RULES}/80-net-setup-link.rules") == "/dev/null"
    if any(system.kind(path) for path in _DEFAULT_LINKS) and not masked:
        macs = dict(binding.macs)
        if not macs and len(binding.lost) == 1:
            macs[binding.lost[0]] = ""  # whichever virtio card there is
        for name, mac in macs.items():
            if not _named_elsewhere(context, name, mac):
                system.write(link_path(name), link_text(name, mac).encode())
    elif system.kind(_RULES) and binding.macs:
        others = (path for path in files_in(context, _RULES, ".rules") if path != _OWN_RULES)
        named = {pair for path in others for pair in network_udev.named_cards(text_of(context, path) or "")}
        macs = {name: mac for name, mac in binding.macs.items() if (name, mac) not in named}
        if macs:
            system.write(_OWN_RULES, rule_text(macs).encode())


def _named_elsewhere(context: FixContext, name: str, mac: str) -> bool:
    """Whether a file of the guest's own binds the name already: it need not be said twice."""
    paths = (path for path in files_in(context, _NETWORKD, ".link") if path != link_path(name))
    return any(network_ini.linked_name(text_of(context, path) or "") == (name, mac) for path in paths)


def _tell(context: FixContext, interfaces: Sequence[Interface], binding: Binding) -> None:
    told = [
        {
            "name": each.name,
            "mac": binding.macs.get(each.name, "") if each.name else each.mac,
            "file": one_line(each.path),
            "addresses": [one_line(address) for address in each.addresses],
        }
        for each in interfaces
    ]
    if told:
        context.finding("interfaces", told)
    if binding.guessed:
        names = ", ".join(f"{name} {binding.macs[name]}" for name in binding.guessed)
        context.warn(Problem("guest-network", f"names were given to cards by their order: {names}"))
    if len(binding.lost) > 1 or (binding.lost and binding.macs):
        names = ", ".join(binding.lost)
        context.warn(Problem("guest-network", f"the MACs are not known of: {names}"))
