"""Which items of an OVF's hardware make the guest as it is deployed unless somebody chooses otherwise.

A descriptor may have hardware for several configurations, and ranges of what is possible; taken together they are no
guest's. DMTF DSP0243 2.1.1, "VirtualHardwareSection", "Ranges on elements", "DeploymentOptionSection".
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element

from hypersdkd.host.ovf_xml import attribute, children, is_a, local, value_of

_HARDWARE: Final = frozenset({"Item", "StorageItem", "EthernetPortItem"})


def hardware_items(envelope: Element, system: Element) -> list[Element]:
    """The items of ``system`` in their order: of the first section of hardware, in the default configuration, where one
    of a configuration's own replaces the common one of its ``InstanceID``; and no ends of ranges."""
    sections = [section for section in system.iter() if is_a(section, "VirtualHardwareSection")]
    items = [item for item in (sections[0] if sections else system).iter() if local(item.tag) in _HARDWARE]
    items = [item for item in items if attribute(item, "bound") in {"", "normal"}]
    chosen = _default_configuration(envelope)
    own = {number_of(item) for item in items if chosen in attribute(item, "configuration").split()} - {""}
    return [item for item in items if _is_deployed(item, chosen, own)]


def number_of(item: Element) -> str:
    """How others name it as their parent: ``InstanceId`` in OVF 0.9."""
    return value_of(item, "InstanceID") or value_of(item, "InstanceId")


def _is_deployed(item: Element, chosen: str, own: set[str]) -> bool:
    configurations = attribute(item, "configuration").split()
    return chosen in configurations if configurations else number_of(item) not in own


def _default_configuration(envelope: Element) -> str:
    """The one that is marked, else the first; empty where there are none."""
    known = [
        each
        for section in envelope
        if is_a(section, "DeploymentOptionSection")
        for each in children(section, "Configuration")
    ]
    marked = [each for each in known if attribute(each, "default") in {"true", "1"}]
    return next((attribute(each, "id") for each in (*marked, *known)), "")
