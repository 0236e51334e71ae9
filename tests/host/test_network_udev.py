"""udev's rules of network cards."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.network_udev import aliases_replaced, named_cards, without_stale_rules

MAC = "00:50:56:aa:bb:01"

KEPT = (
    'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="00:50:56:AA:BB:01", ATTR{dev_id}=="0x0", '
    'ATTR{type}=="1", KERNEL=="eth*", NAME="eth0"'
)
GONE = KEPT.replace("01", "99").replace("eth0", "eth1")
SLOT = 'SUBSYSTEM=="net", ACTION=="add", KERNELS=="0000:03:00.0", NAME="lan0"'
DRIVER = 'SUBSYSTEM=="net", DRIVERS=="vmxnet3", NAME="lan1"'
RULES = "\n".join(
    ["# PCI device 0x15ad:0x07b0 (vmxnet3)", KEPT, "", GONE, SLOT, DRIVER, 'SUBSYSTEM=="block", NAME="x"', ""]
)


def test_what_rules_tell() -> None:
    assert list(named_cards(RULES)) == [("eth0", MAC), ("eth1", "00:50:56:aa:bb:99")]


def test_rules_of_hardware_that_is_gone_go() -> None:
    assert without_stale_rules(RULES, [MAC]) == RULES.replace(f"{GONE}\n{SLOT}\n{DRIVER}\n", "")


def test_where_the_cards_are_not_known_each_mac_may_be_one() -> None:
    assert without_stale_rules(RULES, []) == RULES.replace(f"{SLOT}\n{DRIVER}\n", "")


def test_rules_of_several_lines_and_comments_stay() -> None:
    text = f"#{SLOT}\n{SLOT[:40]} \\\n{SLOT[40:]}\n"
    assert without_stale_rules(text, [MAC]) == text


@given(st.lists(st.sampled_from([KEPT, GONE, SLOT, DRIVER, "# x", "", "\\", "x\\"])).map("\n".join))
def test_a_second_time_changes_nothing(text: str) -> None:
    once = without_stale_rules(text, [MAC])
    assert without_stale_rules(once, [MAC]) == once


def test_aliases_of_cards() -> None:
    text = "alias eth0 vmxnet3\nalias eth1  e1000 \nalias scsi_hostadapter mptspi\n# alias eth2 e1000\n"
    expected = text.replace("vmxnet3", "virtio_net").replace("eth1  e1000", "eth1  virtio_net")
    assert aliases_replaced(text) == expected
