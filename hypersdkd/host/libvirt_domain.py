"""libvirt's XML of a converted guest (https://libvirt.org/formatdomain.html); a test holds it to libvirt's schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from hypersdkd.model.guest_hardware import Card
from hypersdkd.model.problem import fail, one_line

#: What a guest gets where the source does not say: what a small server has.
DEFAULT_CPUS: Final = 2
DEFAULT_MEMORY: Final = 2 << 30

#: libvirt's network that is there after its installation; for cards whose network has no name here.
DEFAULT_NETWORK: Final = "default"

#: How a bridge is told from a libvirt network in ``maps.networks``.
BRIDGE: Final = "bridge:"

#: Bytes of a name; it becomes the name of files.
_NAME_LIMIT: Final = 200

#: What XML 1.0 can hold.
_CHARACTERS: Final = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


@dataclass(frozen=True, slots=True)
class Domain:
    """A guest as libvirt is to run it. ``disks`` are paths and qemu's formats in boot order; ``memory`` in bytes.

    ``networks`` is from a network's name at the source to one of libvirt's, or to ``bridge:NAME``.
    """

    name: str
    disks: Sequence[tuple[Path, str]]
    cards: Sequence[Card]
    networks: Mapping[str, str]
    cpus: int = DEFAULT_CPUS
    memory: int = DEFAULT_MEMORY
    uefi: bool = False
    local_time: bool = False

    def unmapped(self) -> tuple[str, ...]:
        """Networks of the source that have no name here."""
        return tuple(dict.fromkeys(card.network for card in self.cards if card.network and not self._mapped(card)))

    def _mapped(self, card: Card) -> str:
        return self.networks.get(card.network, "")


def domain_xml(domain: Domain) -> bytes:
    """The whole document. Raises ``name-invalid`` for a path that XML cannot hold."""
    root = ElementTree.Element("domain", type="kvm")
    _text(root, "name", _domain_name(domain.name))
    _text(root, "memory", str(-(-domain.memory // 1024)), unit="KiB")
    _text(root, "vcpu", str(domain.cpus))
    system = ElementTree.SubElement(root, "os", {"firmware": "efi"} if domain.uefi else {})
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    if domain.uefi:
        firmware = ElementTree.SubElement(system, "firmware")
        ElementTree.SubElement(firmware, "feature", enabled="no", name="secure-boot")
    features = ElementTree.SubElement(root, "features")
    ElementTree.SubElement(features, "acpi")
    ElementTree.SubElement(features, "apic")
    ElementTree.SubElement(root, "cpu", mode="host-model")
    ElementTree.SubElement(root, "clock", offset="localtime" if domain.local_time else "utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(root, f"on_{event}", action)
    devices = ElementTree.SubElement(root, "devices")
    for number, (path, format_name) in enumerate(domain.disks):
        _add_disk(devices, number, path, format_name)
    for card in domain.cards or (Card(""),):
        _add_card(devices, card, domain.networks.get(card.network, ""))
    _add_rest(devices)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _add_disk(devices: ElementTree.Element, number: int, path: Path, format_name: str) -> None:
    disk = ElementTree.SubElement(devices, "disk", type="file", device="disk")
    ElementTree.SubElement(disk, "driver", name="qemu", type=format_name, discard="unmap")
    ElementTree.SubElement(disk, "source", file=_plain(str(path)))
    ElementTree.SubElement(disk, "target", dev=f"vd{disk_letters(number)}", bus="virtio")
    ElementTree.SubElement(disk, "boot", order=str(number + 1))


def _add_card(devices: ElementTree.Element, card: Card, network: str) -> None:
    bridge = network.removeprefix(BRIDGE) if network.startswith(BRIDGE) else ""
    interface = ElementTree.SubElement(devices, "interface", type="bridge" if bridge else "network")
    if card.mac:
        ElementTree.SubElement(interface, "mac", address=card.mac)
    source = {"bridge": _plain(bridge)} if bridge else {"network": _plain(network) or DEFAULT_NETWORK}
    ElementTree.SubElement(interface, "source", source)
    ElementTree.SubElement(interface, "model", type="virtio")


def _add_rest(devices: ElementTree.Element) -> None:
    """A console for the boot, a channel for the guest's agent, a screen, and random numbers."""
    serial = ElementTree.SubElement(devices, "serial", type="pty")
    ElementTree.SubElement(serial, "target", port="0")
    console = ElementTree.SubElement(devices, "console", type="pty")
    ElementTree.SubElement(console, "target", type="serial", port="0")
    channel = ElementTree.SubElement(devices, "channel", type="unix")
    ElementTree.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    ElementTree.SubElement(devices, "input", type="tablet", bus="usb")
    ElementTree.SubElement(devices, "graphics", type="vnc", autoport="yes", listen="127.0.0.1")
    video = ElementTree.SubElement(devices, "video")
    ElementTree.SubElement(video, "model", type="vga")
    rng = ElementTree.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")


def _text(parent: ElementTree.Element, name: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = text


def _domain_name(name: str) -> str:
    """libvirt takes no slash, which would be in the names of its files, and none that is only blanks."""
    printable = one_line(name).replace("/", "_").strip().encode(errors="replace")[:_NAME_LIMIT]
    return printable.decode(errors="ignore").strip(". ") or "guest"


def disk_letters(number: int) -> str:
    """``a`` … ``z``, ``aa`` …, as disks are counted: the end of ``vda`` and ``sda``. The first has ``number`` 0."""
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters


def _plain(text: str) -> str:
    if _CHARACTERS.fullmatch(text) is None:
        raise fail("name-invalid", f"{text!r} cannot stand in libvirt's XML")
    return text
