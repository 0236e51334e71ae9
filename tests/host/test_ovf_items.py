"""Hardware for several configurations, and ranges, are one guest's: the one that is deployed by default."""

from __future__ import annotations

import pytest

from hypersdkd.host import ovf
from tests import appliances

DISKS = [{"file": "a.vmdk"}, {"file": "b.vmdk"}]


def item(kind: int, number: int, quantity: int, attributes: str) -> str:
    return (
        f"<Item {attributes}><rasd:InstanceID>{number}</rasd:InstanceID><rasd:ResourceType>{kind}</rasd:ResourceType>"
        f"<rasd:VirtualQuantity>{quantity}</rasd:VirtualQuantity></Item>"
    )


def options(*configurations: str) -> bytes:
    known = "".join(f"<Configuration {each}/>" for each in configurations)
    return f"<DeploymentOptionSection><Info/>{known}</DeploymentOptionSection>".encode()


@pytest.mark.parametrize(
    ("configurations", "processors", "memory"),
    [
        (('ovf:id="small"', 'ovf:id="large" ovf:default="true"'), 8, 64),
        (('ovf:id="small"', 'ovf:id="large"'), 4, 4096),
        (('ovf:id="other"', 'ovf:id="large"'), 2, 4096),
        ((), 2, 4096),
    ],
    ids=["marked", "the first", "one without items", "none"],
)
def test_configurations_are_not_added_up(configurations: tuple[str, ...], processors: int, memory: int) -> None:
    """An item of a configuration's own replaces the common one of its number (1: processors, 2: memory)."""
    extra = (
        item(3, 1, 4, 'ovf:configuration="small"')
        + item(3, 1, 8, 'ovf:configuration="medium large"')
        + item(4, 2, 64, 'ovf:configuration="large"')
    )
    text = appliances.ovf(DISKS, extra=extra).replace(b"<DiskSection>", options(*configurations) + b"<DiskSection>")
    found = ovf.read(text, "x.ovf")
    assert (found.processors, found.memory >> 20) == (processors, memory)
    assert [disk.file for disk in found.disks] == ["a.vmdk", "b.vmdk"]


def test_ranges_are_not_added_up() -> None:
    extra = item(3, 8, 1, 'ovf:bound="min"') + item(3, 8, 32, 'ovf:bound="max"') + item(3, 8, 4, 'ovf:bound="normal"')
    assert ovf.read(appliances.ovf(DISKS, extra=extra), "x.ovf").processors == 2 + 4


def test_a_disk_of_several_configurations_is_one() -> None:
    """The same disk at another controller: it was taken for two items of one disk, and refused."""
    text = appliances.ovf(DISKS)
    start = text.index(b"<Item><rasd:AddressOnParent>1")
    end = text.index(b"</Item>", start) + len(b"</Item>")
    other = text[start:end].replace(b"<Item>", b'<Item ovf:configuration="ide">').replace(b"Parent>3<", b"Parent>4<")
    mine = text[start:end].replace(b"<Item>", b'<Item ovf:configuration="scsi">')
    text = text[:start] + other + mine + text[end:]
    text = text.replace(b"<DiskSection>", options('ovf:id="scsi"', 'ovf:id="ide"') + b"<DiskSection>")
    assert [disk.address for disk in ovf.read(text, "x.ovf").disks] == ["scsi0:0", "scsi0:1"]


def test_of_several_sections_of_hardware_the_first_counts() -> None:
    """They are alternatives, for hypervisors of several kinds."""
    text = appliances.ovf(DISKS)
    start, end = text.index(b"<VirtualHardwareSection>"), text.index(b"</VirtualSystem>")
    found = ovf.read(text[:end] + text[start:end] + text[end:], "x.ovf")
    assert (found.processors, found.memory >> 20, len(found.disks), len(found.cards)) == (2, 4096, 2, 1)
