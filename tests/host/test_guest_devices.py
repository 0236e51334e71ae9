"""What a guest's disks boot with, and encrypted volumes in each other. ``test_appliance_guest`` sees a real LUKS."""

from __future__ import annotations

from typing import Any

import pytest

from hypersdkd.host.guest_devices import Devices, block_devices
from tests.host.paper_guestfs import PaperGuestfs
from tests.problems import raises_problem

ESP, BIOS_BOOT = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "21686148-6449-6E6F-744E-656564454649"
UUID = "9aac1bca-051b-4ec6-9ec5-2d45220ff937"


def devices(guestfs: PaperGuestfs, *keys: str) -> Devices:
    return block_devices(guestfs, keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "firmware", "table"),
    [
        ({"table": "msdos", "code": {"/dev/sda": b"\xeb"}}, "bios", "msdos"),
        ({"table": "gpt", "types": {"/dev/sda1": ESP}}, "uefi", "gpt"),
        ({"table": "gpt", "types": {"/dev/sda1": ESP}, "code": {"/dev/sda": b"\xeb"}}, "uefi", "gpt"),
        ({"table": "gpt", "types": {"/dev/sda1": BIOS_BOOT}, "code": {"/dev/sda": b"\xeb"}}, "bios", "gpt"),
        (
            {"table": "gpt", "types": {"/dev/sda1": BIOS_BOOT, "/dev/sda2": ESP}, "code": {"/dev/sda": b"\xeb"}},
            "bios",
            "gpt",
        ),
        ({"table": "gpt", "types": {"/dev/sda1": BIOS_BOOT, "/dev/sda2": ESP}}, "uefi", "gpt"),
        ({"table": "msdos", "types": {"/dev/sda1": 0xEF}}, "uefi", "msdos"),
        ({"table": "msdos"}, "bios", "msdos"),
        ({"partitions": ()}, "bios", ""),
        (
            {"disks": ("/dev/sda", "/dev/sdb"), "partitions": ("/dev/sdb1",), "types": {"/dev/sdb1": 0xEF}},
            "uefi",
            "msdos",
        ),
    ],
)
def test_what_the_disk_boots_with(fields: dict[str, Any], firmware: str, table: str) -> None:
    found = devices(PaperGuestfs(**{"partitions": ("/dev/sda1", "/dev/sda2"), **fields}))
    assert (found.firmware, found.partition_table) == (firmware, table)


def test_each_device_and_where_it_lies() -> None:
    guestfs = PaperGuestfs(
        {
            "/dev/sda2": {"TYPE": "ext4", "UUID": "u", "PART_ENTRY_UUID": "p", "LABEL": "l\x1b"},
            "/dev/vg/x": {"TYPE": "swap"},
        },
        disks=("/dev/sda", "/dev/sdb"),
        partitions=("/dev/sda2",),
        volumes=["/dev/vg/x"],
    )
    rows = [(each.device, each.content, each.label, each.disk, each.partition) for each in devices(guestfs).devices]
    assert rows == [
        ("/dev/sdb", "unknown", "", 1, 0),
        ("/dev/sda2", "ext4", r"l\x1b", 0, 2),
        ("/dev/vg/x", "swap", "", None, 0),
    ]


def test_volumes_in_encrypted_ones_in_encrypted_ones() -> None:
    inner = "/dev/vg/inner"
    guestfs = PaperGuestfs(
        {"/dev/sda1": {"TYPE": "crypto_LUKS", "UUID": UUID}, inner: {"TYPE": "crypto_LUKS", "UUID": "../x"}},
        partitions=("/dev/sda1",),
        keys={"/dev/sda1": "one", inner: "two"},
        inside={"/dev/sda1": (inner,)},
    )
    found = devices(guestfs, "two", "one")
    assert [each.device for each in found.devices] == [
        "/dev/sda1",
        f"/dev/mapper/luks-{UUID}",
        inner,
        "/dev/mapper/luks-inner",
    ]
    assert found.locked == ()


def test_what_no_key_opens_is_named() -> None:
    guestfs = PaperGuestfs({"/dev/sda": {"TYPE": "crypto_LUKS"}}, keys={"/dev/sda": "one"})
    assert devices(guestfs, "two").locked == ("/dev/sda",)
    assert devices(guestfs).locked == ("/dev/sda",)


def test_too_many_are_refused() -> None:
    with raises_problem("image-limits"):
        devices(PaperGuestfs(volumes=[f"/dev/vg/{number}" for number in range(300)]))
