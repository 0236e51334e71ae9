"""Hardware out of findings, whoever made them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.guest_hardware import Card, addresses, cards, firmware, number, told_hardware

INTERFACES = [{"name": "ens192", "mac": "00-50-56-AA-BB-01", "addresses": ["10.0.2.77/24", "fe80::1/64", "dhcp"]}]


def test_what_the_source_tells_comes_before_what_the_guest_has() -> None:
    assert cards({"interfaces": INTERFACES}) == (Card("00:50:56:aa:bb:01"),)
    nics = [{"mac": "00:50:56:aa:bb:02", "network": "VM Network"}]
    assert cards({"interfaces": INTERFACES, "nics": nics}) == (Card("00:50:56:aa:bb:02", "VM Network"),)
    assert addresses({"interfaces": INTERFACES}) == ("10.0.2.77",)


def test_cards_without_a_mac_get_those_that_the_guest_knows() -> None:
    twice = {"mac": "00:50:56:aa:bb:02", "network": "B"}
    nics = [{"mac": "", "network": "A"}, twice, twice, {"mac": "01:00:5e:00:00:01", "network": "C"}]
    assert cards({"interfaces": INTERFACES, "nics": nics}) == (
        Card("00:50:56:aa:bb:01", "A"),
        Card("00:50:56:aa:bb:02", "B"),
        Card("", "B"),
        Card("", "C"),
    )


def test_the_disk_decides_on_the_firmware() -> None:
    assert firmware({}) == "bios"
    assert firmware({"hardware": {"firmware": "efi"}}) == "uefi"
    assert firmware({"hardware": {"firmware": "efi"}, "system": {"os_type": "linux", "firmware": "bios"}}) == "bios"


def test_numbers() -> None:
    hardware = {"hardware": {"cpus": 4, "memory": True, "x": -1}}
    assert [number(hardware, name) for name in ("cpus", "memory", "x", "y")] == [4, None, None, None]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["mac", "addresses", "cpus"]), inner),
    max_leaves=9,
)


@given(st.dictionaries(st.sampled_from(["nics", "interfaces", "system", "hardware", "firmware"]), _JSON))
def test_anything_may_be_found(findings: dict[str, object]) -> None:
    cards(findings), addresses(findings), firmware(findings), number(findings, "cpus")


def test_what_a_manifest_tells() -> None:
    vm = {"name": "x", "cpu": 4, "memory_gb": 8, "firmware": "EFI"}
    nics = [{"mac": "00-50-56-AA-BB-01", "network": "VM\x1b Network", "id": 1}, {"network": "B"}, "strange"]
    assert told_hardware(vm, nics) == {
        "hardware": {"cpus": 4, "memory_bytes": 8 << 30, "firmware": "uefi"},
        "nics": [{"mac": "00:50:56:aa:bb:01", "network": "VM\\x1b Network"}, {"mac": "", "network": "B"}],
    }
    assert told_hardware({"mem_gb": 0.5}, []) == {"hardware": {"memory_bytes": 1 << 29}}
    strange = {"cpu": True, "memory_gb": float("nan"), "firmware": ["uefi"]}
    assert told_hardware(strange, []) == told_hardware({"cpu": -1, "memory_gb": 1e300}, []) == {}
