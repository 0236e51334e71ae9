"""Interfaces of NetworkManager and systemd-networkd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.network_ini import (
    connection_interfaces,
    freed_of_hardware,
    linked_name,
    networkd_interfaces,
    virtual_name,
)
from hypersdkd.host.network_names import Interface

MAC = "00:50:56:aa:bb:01"
P = "/etc/systemd/network/10-lan.network"


def test_a_connection_by_name() -> None:
    text = """[connection]
id=lan
type=ethernet
interface-name=ens192

[ethernet]
mac-address=00:50:56:AA:BB:01

[ipv4]
address1=10.0.2.77/24,10.0.2.2
method=manual
"""
    assert list(connection_interfaces(text, "p")) == [Interface("ens192", "p", MAC, ("10.0.2.77/24",))]
    unnamed = text.replace("interface-name=ens192\n", "")
    assert list(connection_interfaces(unnamed, "p")) == [Interface("", "p", MAC, ("10.0.2.77/24",))]
    assert list(connection_interfaces(text.replace("type=ethernet", "type=wifi"), "p")) == []
    pattern = text.replace("interface-name=ens192\n", "\n[match]\ninterface-name=ens192;ens224;\n")
    assert [each.name for each in connection_interfaces(pattern, "p")] == ["ens192", "ens224"]


def test_a_vlan_names_its_card() -> None:
    text = "[connection]\ntype=vlan\ninterface-name=office\n[vlan]\nparent=ens192\nid=10\n"
    assert list(connection_interfaces(text, "p")) == [Interface("ens192", "p")]


def test_networkd() -> None:
    text = (
        "[Match]\nName=ens192 ens224\n[Network]\nAddress=10.0.2.77/24\nDNS=10.0.2.3\n[Address]\nAddress=10.0.2.78/24\n"
    )
    addresses = ("10.0.2.77/24", "10.0.2.78/24")
    assert list(networkd_interfaces(text, P)) == [
        Interface("ens192", P, addresses=addresses),
        Interface("ens224", P, addresses=addresses),
    ]
    unnamed = f"[Match]\nMACAddress={MAC}\n[Network]\nDHCP=yes\n"
    assert list(networkd_interfaces(unnamed, P)) == [Interface("", P, MAC)]
    assert list(networkd_interfaces(unnamed.replace("[Network]", "Name=en*\n[Network]"), P)) == [Interface("", P, MAC)]
    assert list(networkd_interfaces(unnamed.replace("[Network]", "Name=br0\n[Network]"), P)) == []
    assert list(networkd_interfaces("[Match]\nName=en*\n", P)) == []


def test_link_files() -> None:
    assert linked_name(f"[Match]\nMACAddress={MAC}\n[Link]\nName=lan0\n") == ("lan0", MAC)
    assert linked_name(f"[Match]\nPermanentMACAddress={MAC}\n[Link]\nName=lan0\n") == ("lan0", MAC)
    assert linked_name("[Match]\nPath=x\n[Link]\nName=lan0\n") == ("lan0", "")
    assert linked_name("#[Link]\n#Name=lan0\n") == ("", "")
    assert virtual_name("[NetDev]\nName=lanbr\nKind=bridge\n") == "lanbr"


@pytest.mark.parametrize(
    ("line", "freed", "left"),
    [
        ("Driver=vmxnet3", "Driver=virtio_net", False),
        ("Driver = e1000 e1000e", "Driver = virtio_net virtio_net", False),
        ("driver=vmxnet3;", "driver=virtio_net;", False),
        ("Driver=vmxnet3 virtio_net", None, False),
        ("Driver=ixgbe", None, False),
        ("Path=pci-0000:0b:00.0", f"MACAddress={MAC}", False),
        ("path=pci-0000:0b:00.0", None, True),
        ("Path=*", None, False),
        ("#Path=pci-0000:0b:00.0", None, False),
    ],
)
def test_matches_by_hardware(line: str, freed: str | None, left: bool) -> None:
    text = f"[Match]\n{line}\n\n[Link]\nDriver=vmxnet3\n"
    expected = text.replace(line, freed, 1) if freed else text
    assert freed_of_hardware(text, MAC) == (expected, left)


def test_a_match_by_bus_is_left_where_the_mac_is_not_known() -> None:
    assert freed_of_hardware("[Match]\nPath=pci-0000:0b:00.0\n", "") == ("[Match]\nPath=pci-0000:0b:00.0\n", True)


lines = st.sampled_from(
    [
        "[Match]",
        "[match]",
        "[Link]",
        "Driver=vmxnet3",
        "driver=e1000;",
        "Path=pci-0000:03:00.0",
        "Name=ens192",
        "; x",
        "",
        "=",
    ]
)


@given(st.lists(st.one_of(lines, st.text(max_size=5))).map("\n".join))
def test_a_second_time_changes_nothing(text: str) -> None:
    once = freed_of_hardware(text, MAC)[0]
    assert freed_of_hardware(once, MAC) == (once, freed_of_hardware(text, MAC)[1])
    list(connection_interfaces(text, "p")), list(networkd_interfaces(text, P))
