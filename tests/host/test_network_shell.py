"""Interfaces of ifupdown, ifcfg files and netctl."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.network_names import Interface
from hypersdkd.host.network_shell import (
    ifcfg_interfaces,
    ifupdown_interfaces,
    is_backup,
    netctl_interfaces,
    shell_values,
)

P = "/etc/network/interfaces"
RED_HAT = "/etc/sysconfig/network-scripts/ifcfg-x"
SUSE = "/etc/sysconfig/network/ifcfg-eth0"


def test_ifupdown() -> None:
    text = """# comment: iface eth9 inet dhcp
source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback

allow-hotplug ens192
iface ens192 inet static
    address 10.0.2.77/24
    gateway 10.0.2.2
iface ens192 inet6 auto
iface ens192:1 inet static
    address 10.0.2.78
iface ens224.20 inet dhcp
iface br0 inet dhcp
    bridge_ports ens256 \\
        ens161
iface lanbr inet manual
    bridge-ports ens193
"""
    assert list(ifupdown_interfaces(text, P)) == [
        Interface("ens192", P, addresses=("10.0.2.77/24",)),
        Interface("ens192", P),
        Interface("ens192", P, addresses=("10.0.2.78",)),
        Interface("ens224", P),
        Interface("ens256", P),
        Interface("ens161", P),
        Interface("ens193", P),
    ]


def test_red_hats_ifcfg() -> None:
    text = 'TYPE="Ethernet"\nDEVICE=ens192 # card\nHWADDR="00:50:56:AA:BB:01"\n'
    text += "BOOTPROTO=none\nIPADDR=10.0.2.77\nIPADDR1=10.0.2.78\n"
    expected = Interface("ens192", RED_HAT, "00:50:56:aa:bb:01", ("10.0.2.77", "10.0.2.78"))
    assert list(ifcfg_interfaces(text, RED_HAT)) == [expected]
    assert list(ifcfg_interfaces("DEVICE=ens192\nMASTER=bond0\nSLAVE=yes\n", RED_HAT)) == [Interface("ens192", RED_HAT)]
    for none in (
        "BOOTPROTO=dhcp\n",
        "DEVICE=lanbr\nTYPE=Bridge\n",
        "DEVICE=b\nBONDING_MASTER=yes\n",
        "DEVICE=lo\n",
    ):
        assert list(ifcfg_interfaces(none, RED_HAT)) == []
    unnamed = Interface("", RED_HAT, "00:50:56:aa:bb:01")
    assert list(ifcfg_interfaces("HWADDR=00:50:56:aa:bb:01\n", RED_HAT)) == [unnamed]
    assert list(ifcfg_interfaces("DEVICE=ens192.10\nTYPE=Vlan\n", RED_HAT)) == [Interface("ens192", RED_HAT)]


def test_suses_ifcfg_is_named_by_the_file() -> None:
    text = "BOOTPROTO='static'\nIPADDR='10.0.2.77/24'\nSTARTMODE='auto'\n"
    assert list(ifcfg_interfaces(text, SUSE)) == [Interface("eth0", SUSE, addresses=("10.0.2.77/24",))]
    bridge = "BRIDGE='yes'\nBRIDGE_PORTS='eth0 eth1'\n"
    path = SUSE.replace("eth0", "br0")
    assert list(ifcfg_interfaces(bridge, path)) == [Interface("eth0", path), Interface("eth1", path)]


def test_netctl() -> None:
    text = "Interface=ens192\nConnection=ethernet\nIP=static\nAddress=('10.0.2.77/24' '10.0.2.78/24')\n"
    assert list(netctl_interfaces(text, "p")) == [Interface("ens192", "p", addresses=("10.0.2.77/24", "10.0.2.78/24"))]
    assert list(netctl_interfaces("Interface=wlan0\nConnection=wireless\n", "p")) == []


def test_copies_are_known() -> None:
    assert all(map(is_backup, ("ifcfg-eth0.bak", "ifcfg-eth0~", "ifcfg-eth0.rpmsave", "interfaces.dpkg-old")))
    assert not is_backup("ifcfg-eth0")


def test_assignments() -> None:
    assert shell_values("A=1\nexport B='x y'\n#C=1\nD=\"\"\n E=(a b) # c\n") == {
        "A": "1",
        "B": "x y",
        "D": "",
        "E": "a b",
    }


@given(st.text(alphabet="iface auto=DEVICE\"'()\n\\ .:#bridge_ports", max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    for parse in (ifupdown_interfaces, ifcfg_interfaces, netctl_interfaces):
        assert all(each.name or each.mac for each in parse(text, SUSE))
