"""OVF: what an appliance's descriptor says of its one guest. DMTF DSP0243, versions 0.9 to 2.1, as they are found.

Exporters disagree on namespaces, versions and units; the text is a stranger's (:mod:`hypersdkd.host.ovf_xml`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element

from hypersdkd.host.appliance_names import spellings
from hypersdkd.host.ovf_items import hardware_items, number_of
from hypersdkd.host.ovf_xml import MAX_TEXT, attribute, is_a, local, parsed, shown, text_of, value_of, within
from hypersdkd.model.problem import fail, one_line

#: Disks and cards of a guest, and files of a descriptor, that are read at most.
_MAX_DISKS: Final = 256
_MAX_FILES: Final = 1000

#: CIM_ResourceAllocationSettingData.ResourceType.
_PROCESSOR, _MEMORY, _CARD = "3", "4", "10"
_DISKS: Final = frozenset({"17", "31"})
_CONTROLLERS: Final = {"5": "ide", "6": "scsi", "20": "sata"}

#: The order in which firmware looks at controllers when nothing else is said.
_BUS_ORDER: Final = {"ide": 0, "sata": 1, "scsi": 2, "nvme": 3, "": 4}

#: qemu's format by a word of the URI that names a disk's.
_FORMATS: Final = (
    ("vmdk", "vmdk"),
    ("vhdx", "vhdx"),
    ("vhd", "vhd"),
    ("qcow", "qcow2"),
    ("vdi", "vdi"),
    ("raw", "raw"),
)

_UNITS: Final = {
    "": 1, "byte": 1, "bytes": 1, "b": 1,
    "kb": 1 << 10, "kib": 1 << 10, "kilobyte": 1 << 10, "kilobytes": 1 << 10,
    "mb": 1 << 20, "mib": 1 << 20, "megabyte": 1 << 20, "megabytes": 1 << 20,
    "gb": 1 << 30, "gib": 1 << 30, "gigabyte": 1 << 30, "gigabytes": 1 << 30,
    "tb": 1 << 40, "tib": 1 << 40, "terabyte": 1 << 40, "terabytes": 1 << 40,
}  # fmt: skip
_FACTOR: Final = re.compile(r"(\d{1,5})(?:\s*\^\s*(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class Reference:
    """A file that a descriptor names: ``href`` as it stands there, ``size`` in bytes, 0 where nothing is said."""

    href: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk: the file that holds it, and what is said of it. ``size`` is the file's, as is ``compressed`` (gzip).

    ``format`` is a source type, empty where nothing is said; sizes in bytes, ``None`` where nothing is said.
    ``address`` is controller and place on it: ``scsi0:1``.
    """

    file: str
    format: str = ""
    capacity: int | None = None
    size: int | None = None
    compressed: bool = False
    address: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: its address (empty: made anew at each import), the network it is in, its kind."""

    mac: str
    network: str
    adapter: str

    def as_dict(self) -> dict[str, object]:
        """JSON shape."""
        return {"mac": self.mac, "network": self.network, "adapter": self.adapter}


@dataclass(frozen=True, slots=True)
class Appliance:
    """One guest: its disks in boot order. ``memory`` in bytes; 0 and empty where nothing is said."""

    name: str
    disks: tuple[Disk, ...]
    cards: tuple[Card, ...] = ()
    processors: int = 0
    memory: int = 0
    firmware: str = ""
    secure_boot: bool = False
    system: str = ""
    product: str = ""
    files: tuple[str, ...] = field(default=())

    def hardware(self) -> dict[str, object]:
        """JSON shape of what is not its disks'."""
        return {
            "name": self.name,
            "cpus": self.processors,
            "memory_bytes": self.memory,
            "firmware": self.firmware,
            "secure_boot": self.secure_boot,
            "os": self.system,
            "product": self.product,
        }


def read(text: bytes, name: str) -> Appliance:
    """The guest that the descriptor ``name`` describes.

    Raises ``image-invalid``, ``image-limits``, ``image-unsupported`` (several guests, disks in pieces) and
    ``source-incomplete`` for a disk without a file.
    """
    envelope = parsed(text, name)
    system = _only_system(envelope, name)
    files = {attribute(file, "id"): file for file in within(envelope, "References", "File")}
    items = hardware_items(envelope, system)
    disks = _disks(envelope, items, files, name)
    firmware, secure = _firmware(system)
    return Appliance(
        name=text_of(system, "Name") or shown(attribute(system, "id")),
        disks=disks,
        cards=tuple(_cards(items))[:_MAX_DISKS],
        processors=min(_count(items, _PROCESSOR), 4096),
        memory=_memory(items),
        firmware=firmware,
        secure_boot=secure,
        system=_system_type(system),
        product=_product(system),
        files=tuple(attribute(file, "href") for file in files.values()),
    )


def references(text: bytes, name: str) -> tuple[Reference, ...]:
    """The files that the descriptor ``name`` names, disks or not, up to 1,000. Raises ``image-invalid -limits``."""
    files = list(within(parsed(text, name), "References", "File"))[:_MAX_FILES]
    return tuple(Reference(attribute(file, "href"), _natural(attribute(file, "size"))) for file in files)


# -- the guest ------------------------------------------------------------------------------------------


def _only_system(envelope: Element, name: str) -> Element:
    systems = [element for element in envelope.iter() if is_a(element, "VirtualSystem")]
    if not systems:
        raise fail("image-invalid", f"{name} describes no guest")
    if len(systems) > 1:
        names = ", ".join(text_of(each, "Name") or shown(attribute(each, "id")) or "without a name" for each in systems)
        raise fail(
            "image-unsupported",
            f"{name} describes {len(systems)} guests: {names[:400]}",
            remedy="Export each guest by itself, or convert each disk by a manifest with load.disks.",
        )
    return systems[0]


def _system_type(system: Element) -> str:
    for section in system.iter():
        if is_a(section, "OperatingSystemSection"):
            described = attribute(section, "osType") or text_of(section, "Description")
            return shown(described or attribute(section, "id"))
    return ""


def _product(system: Element) -> str:
    for section in system.iter():
        if is_a(section, "ProductSection"):
            return " ".join(filter(None, (text_of(section, "Product"), text_of(section, "Version"))))[:MAX_TEXT]
    return ""


def _firmware(system: Element) -> tuple[str, bool]:
    """``uefi``, ``bios`` or empty; and whether it is to boot signed programs only. VMware, VirtualBox, oVirt."""
    firmware, secure = "", False
    for element in system.iter():
        tag, key, value = local(element.tag), attribute(element, "key"), attribute(element, "value").lower()
        if tag in {"Config", "ExtraConfig"} and key == "firmware":
            firmware = "uefi" if value in {"efi", "uefi"} else "bios"
        elif tag in {"Config", "ExtraConfig"} and key.endswith(("efiSecureBootEnabled", "secureBoot.enabled")):
            secure = value == "true"
        elif tag == "Firmware":
            firmware = "uefi" if attribute(element, "type").upper().startswith("EFI") else "bios"
        elif tag == "BiosType":  # oVirt: 3 is Q35 with UEFI, 4 the same with secure boot
            firmware, secure = ("uefi", element.text == "4") if element.text in {"3", "4"} else ("bios", False)
    return firmware, secure


def _count(items: list[Element], kind: str) -> int:
    return sum(_natural(value_of(item, "VirtualQuantity")) for item in items if value_of(item, "ResourceType") == kind)


def _memory(items: list[Element]) -> int:
    total = 0
    for item in items:
        if value_of(item, "ResourceType") == _MEMORY:
            units = value_of(item, "AllocationUnits") or "MegaBytes"
            total += _natural(value_of(item, "VirtualQuantity")) * unit_bytes(units)
    return min(total, 1 << 50)


def _cards(items: list[Element]) -> Iterator[Card]:
    for item in items:
        if value_of(item, "ResourceType") == _CARD:
            mac = value_of(item, "Address") or value_of(item, "MACAddress")
            plain = re.sub(r"[^0-9A-Fa-f]", "", mac).lower()
            spelled = ":".join(plain[at : at + 2] for at in range(0, 12, 2)) if len(plain) == 12 else ""
            yield Card(spelled, text_of(item, "Connection"), text_of(item, "ResourceSubType"))


def _natural(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def unit_bytes(text: str) -> int:
    """Bytes of a unit: ``byte * 2^30``, ``byte*1024``, ``GB``, ``MegaBytes``; 1 for what is not known."""
    base, *factors = (part.strip() for part in text.split("*"))
    product = _UNITS.get(base.lower(), 1)
    for factor in factors[:4]:
        if found := _FACTOR.fullmatch(factor):
            product *= min(int(found[1]) ** int(found[2] or 1), 1 << 60)
    return min(product, 1 << 60)


# -- its disks ------------------------------------------------------------------------------------------


def _disks(envelope: Element, items: list[Element], files: dict[str, Element], name: str) -> tuple[Disk, ...]:
    """In the order of their controllers and their places there, never of the list; one with a boot mark first."""
    known = {attribute(disk, "diskId"): disk for disk in within(envelope, "DiskSection", "Disk")}
    numbered = {number_of(item): item for item in items}
    placed: list[tuple[tuple[object, ...], Disk]] = []
    taken: set[str] = set()
    for number, item in enumerate(items):
        if value_of(item, "ResourceType") not in _DISKS:
            continue
        disk_id = value_of(item, "HostResource").rstrip("/").rpartition("/")[2]
        disk = known.get(disk_id)
        if disk is None:
            raise fail("image-invalid", f"{name} has a disk {one_line(disk_id)[:80]!r} that it does not describe")
        if disk_id in taken:
            raise fail("image-invalid", f"{name} has the disk {one_line(disk_id)[:80]!r} twice in its guest")
        taken.add(disk_id)
        place, address = _place(numbered, item)
        boots = attribute(disk, "boot").lower() == "true"
        placed.append(((not boots, *place, number), _disk(disk, files, address, name)))
    if not placed:
        raise fail("image-invalid", f"{name} describes a guest without disks")
    if len(placed) > _MAX_DISKS:
        raise fail("image-limits", f"{name} describes a guest of {len(placed)} disks; {_MAX_DISKS} are allowed")
    if len({spellings(disk.file)[0] for _key, disk in placed}) < len(placed):
        raise fail("image-invalid", f"{name} has two disks in one file")
    return tuple(disk for _key, disk in sorted(placed, key=lambda pair: pair[0]))


def _place(numbered: dict[str, Element], item: Element) -> tuple[tuple[int, ...], str]:
    """What sorts a disk, and how it is called: by its controller's bus and number, and its address there."""
    controller = numbered.get(value_of(item, "Parent"))
    unit = _natural(value_of(item, "AddressOnParent"))
    if controller is None:
        return (_BUS_ORDER[""], 0, unit), f":{unit}"
    kind = value_of(controller, "ResourceType")
    bus = "nvme" if "nvme" in value_of(controller, "ResourceSubType").lower() else _CONTROLLERS.get(kind, "")
    number = _natural(value_of(controller, "Address"))
    return (_BUS_ORDER[bus], number, unit), f"{bus}{number}:{unit}"


def _disk(disk: Element, files: dict[str, Element], address: str, name: str) -> Disk:
    disk_id = one_line(attribute(disk, "diskId"))[:80]
    if attribute(disk, "parentRef"):
        message = f"the disk {disk_id!r} of {name} is the difference to another"
        raise fail("image-unsupported", message, remedy="Export the guest without snapshots.")
    file = files.get(attribute(disk, "fileRef"))
    if file is None:
        raise fail(
            "source-incomplete",
            f"the disk {disk_id!r} of {name} has no file: it is to be made empty at import",
            remedy="Remove the disk from the guest before the export, or convert the others by a manifest.",
        )
    if attribute(file, "chunkSize"):
        raise fail("image-unsupported", f"{name} has its disks in pieces", remedy="Export it without a chunk size.")
    compression = attribute(file, "compression").lower()
    if compression not in {"", "identity", "gzip"}:
        raise fail("image-unsupported", f"{name} has a disk compressed by {one_line(compression)[:40]}")
    uri, size = attribute(disk, "format").lower(), attribute(file, "size")
    return Disk(
        file=attribute(file, "href"),
        format=next((kind for word, kind in _FORMATS if word in uri), ""),
        capacity=_capacity(disk, name),
        size=_natural(size) if size else None,
        compressed=compression == "gzip",
        address=address,
    )


def _capacity(disk: Element, name: str) -> int | None:
    text = attribute(disk, "capacity").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):  # "${disk.size}" and the like: to be chosen at deployment
        if text.startswith("$"):
            return None
        raise fail("image-invalid", f"{name} gives a disk the capacity {one_line(text)[:40]!r}")
    return int(text) * unit_bytes(attribute(disk, "capacityAllocationUnits"))
