"""An OVF is understood in each dialect, by its links and not by its lists; and never harms its reader."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host import ovf
from hypersdkd.host.ovf_xml import MAX_BYTES
from hypersdkd.model.problem import ProblemError
from tests import appliances
from tests.problems import raises_problem

TWO = [{"file": "a.vmdk", "unit": 1}, {"file": "b.vmdk", "unit": 0}]


@pytest.mark.parametrize("dialect", ["vmware", "virtualbox", "0.9"])
def test_dialects(dialect: str) -> None:
    found = ovf.read(appliances.ovf(TWO, dialect=dialect), "web01.ovf")
    assert found.name == "web01"
    assert [disk.file for disk in found.disks] == ["b.vmdk", "a.vmdk"]
    assert [disk.address for disk in found.disks] == ["scsi0:0", "scsi0:1"]
    assert {disk.capacity for disk in found.disks} == {16 << 20}
    assert {disk.format for disk in found.disks} == {"vmdk"}
    assert (found.processors, found.memory) == (2, 4096 << 20)
    assert [card.as_dict() for card in found.cards] == [
        {"mac": "00:50:56:aa:bb:01", "network": "VM Network", "adapter": "VmxNet3"}
    ]
    assert found.system == ("debian12_64Guest" if dialect == "vmware" else "96")


def test_controllers_sort_disks_and_a_boot_mark_comes_first() -> None:
    """IDE before SCSI, the second SCSI controller after the first; but where one is marked, it is the first."""
    disks = [
        {"file": "late", "bus": 5, "unit": 0},
        {"file": "scsi", "bus": 3, "unit": 0},
        {"file": "ide", "bus": 4, "unit": 1},
        {"file": "lost", "bus": 77, "unit": 0},
    ]
    found = ovf.read(appliances.ovf(disks), "x.ovf")
    assert [disk.file for disk in found.disks] == ["ide", "scsi", "late", "lost"]
    disks[0]["boot"] = True
    found = ovf.read(appliances.ovf(disks), "x.ovf")
    assert [disk.file for disk in found.disks] == ["late", "ide", "scsi", "lost"]


@pytest.mark.parametrize(
    ("extra", "firmware", "secure"),
    [
        ("", "", False),
        ('<vmw:Config vmw:key="firmware" vmw:value="efi"/>', "uefi", False),
        ('<vmw:Config vmw:key="firmware" vmw:value="bios"/>', "bios", False),
        (
            '<vmw:Config vmw:key="firmware" vmw:value="efi"/>'
            '<vmw:Config vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="true"/>',
            "uefi",
            True,
        ),
        ('<Firmware type="EFI"/>', "uefi", False),
        ("<BiosType>4</BiosType>", "uefi", True),
    ],
)
def test_firmware(extra: str, firmware: str, secure: bool) -> None:
    found = ovf.read(appliances.ovf(TWO, extra=extra), "x.ovf")
    assert (found.firmware, found.secure_boot) == (firmware, secure)
    assert found.hardware()["firmware"] == firmware


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("byte", 1),
        ("byte * 2^30", 1 << 30),
        ("byte*2^20", 1 << 20),
        ("byte * 1024", 1024),
        ("byte * 10^6", 10**6),
        ("MegaBytes", 1 << 20),
        ("GB", 1 << 30),
        ("KiB * 4", 4096),
        ("", 1),
        ("furlong", 1),
        ("byte * 9^99", 1 << 60),
    ],
)
def test_units(text: str, size: int) -> None:
    assert ovf.unit_bytes(text) == size


def deep() -> bytes:
    return b"<Envelope>" + b"<a>" * 100 + b"</a>" * 100 + b"</Envelope>"


BOMB = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Envelope>&b;</Envelope>"""
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><Envelope>&a;</Envelope>"""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (BOMB, "image-invalid"),
        (OUTSIDE, "image-invalid"),
        (b'<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><Envelope/>', "image-invalid"),
        (b"", "image-invalid"),
        (b"words", "image-invalid"),
        (b"<html/>", "image-invalid"),
        (b'<?xml version="1.0" encoding="utf-7"?><Envelope/>', "image-invalid"),
        (b"<Envelope/>", "image-invalid"),
        (deep(), "image-limits"),
        (b"<Envelope>" + b"<a/>" * 20_000 + b"</Envelope>", "image-limits"),
        (b"<Envelope>" + b" " * MAX_BYTES + b"</Envelope>", "image-limits"),
        (appliances.ovf(TWO, system="<VirtualSystem><Name>db</Name></VirtualSystem>"), "image-unsupported"),
        (appliances.ovf([]), "image-invalid"),
        (appliances.ovf([{"file": "a", "id": "x"}, {"file": "b", "id": "x"}]), "image-invalid"),
        (appliances.ovf([{"file": "a"}, {"file": "a"}]), "image-invalid"),
        (appliances.ovf([{"file": "a", "chunkSize": 1}]), "image-unsupported"),
        (appliances.ovf([{"file": "a", "compression": "lzma"}]), "image-unsupported"),
        (appliances.ovf([{"file": "a", "capacity": "many"}]), "image-invalid"),
        (appliances.ovf(TWO).replace(b'ovf:fileRef="file1"', b'ovf:fileRef="gone"'), "source-incomplete"),
        (appliances.ovf(TWO).replace(b'ovf:fileRef="file1"', b'ovf:parentRef="vmdisk2"'), "image-unsupported"),
        (appliances.ovf(TWO).replace(b"ovf:/disk/vmdisk1", b"ovf:/disk/other"), "image-invalid"),
    ],
)
def test_refused(text: bytes, code: str) -> None:
    with raises_problem(code):
        ovf.read(text, "web01.ovf")


def test_a_capacity_that_is_chosen_at_deployment_is_not_known() -> None:
    (disk,) = ovf.read(appliances.ovf([{"file": "a", "capacity": "${size}"}]), "x.ovf").disks
    assert disk.capacity is None


def test_hostile_texts_become_one_line() -> None:
    found = ovf.read(appliances.ovf(TWO, name="a&#10;b&#x202e;c" + "x" * 300), "x.ovf")
    assert "\n" not in found.name
    assert len(found.name) <= 255


GOOD = appliances.ovf(TWO)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=40), st.integers(0, 60))
def test_damaged(at: int, data: bytes, gone: int) -> None:
    """Whatever is in the text, it is read or refused."""
    try:
        ovf.read(GOOD[:at] + data + GOOD[at + gone :], "x.ovf")
    except ProblemError as error:
        assert error.problem.code.startswith(("image-", "source-"))
