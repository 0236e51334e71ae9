"""Interfaces of netplan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.network_names import Interface
from hypersdkd.host.network_netplan import driver_replaced, netplan_interfaces
from tests.problems import raises_problem

MAC = "00:50:56:aa:bb:01"


def test_cards_by_name() -> None:
    text = """network:
  version: 2
  ethernets:
    ens192:
      addresses: [10.0.2.77/24, {"10.0.2.78/24": {label: x}}]
    uplink:
      match: {macaddress: "00:50:56:AA:BB:01"}
      set-name: lan0
    safe:
      match: {macaddress: "00:50:56:aa:bb:02"}
      dhcp4: true
    any:
      match: {name: "en*"}
    old:
      match:
        name: ens224
  vlans:
    v10: {id: 10, link: ens192}
"""
    assert list(netplan_interfaces(text, "p")) == [
        Interface("ens192", "p", addresses=("10.0.2.77/24", "10.0.2.78/24")),
        Interface("lan0", "p", MAC),
        Interface("", "p", "00:50:56:aa:bb:02"),
        Interface("ens224", "p"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "\udc80: 1",
        "[]",
        "network: 1",
        "network: {ethernets: [a]}",
        "network: {ethernets: {ens192: 1}}",
    ],
)
def test_other_shapes(text: str) -> None:
    assert [each.name for each in netplan_interfaces(text, "p")] in ([], ["ens192"])


@pytest.mark.parametrize("text", ["a: [", "x: &a [*a]", "a: 1\na: 2", "[" * 1000])
def test_what_is_no_yaml_is_unusual(text: str) -> None:
    with raises_problem("guest-file-unusual"):
        list(netplan_interfaces(text, "p"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("      match:\n        driver: vmxnet3  # card\n", "      match:\n        driver: virtio_net  # card\n"),
        ('match: {driver: "e1000", name: x}', 'match: {driver: "virtio_net", name: x}'),
        ("driver: vmxnet33", None),
        ("driver: ixgbe", None),
    ],
)
def test_drivers(before: str, after: str | None) -> None:
    assert driver_replaced(before) == (after or before)


@given(st.text(alphabet="drive: vmxnt3\n\"'{}#", max_size=60))
def test_a_second_time_changes_nothing(text: str) -> None:
    assert driver_replaced(driver_replaced(text)) == driver_replaced(text)
