"""Names of network interfaces, and the cards that they mean."""

from __future__ import annotations

import pytest

from hypersdkd.host.network_names import Binding, bind, card_name, link_path, link_text, mac_of, rule_text

A, B, C = "00:50:56:aa:bb:01", "00:50:56:aa:bb:02", "00:50:56:aa:bb:03"


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("00:50:56:AA:BB:01", A),
        (" 00-50-56-aa-bb-01 ", A),
        ("00:00:00:00:00:00", ""),
        ("01:00:5e:00:00:01", ""),  # multicast
        ("00:50:56:aa:bb", ""),
        ("00:50:56:aa:bb:01\nName=x", ""),
        ("permanent", ""),
    ],
)
def test_macs(text: str, mac: str) -> None:
    assert mac_of(text) == mac


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ens192", "ens192"),
        ("eth0", "eth0"),
        ("eth0:1", "eth0"),
        ("ens192.100", "ens192"),
        ("lan0", "lan0"),
        ("en*", ""),  # matches on KVM as well
        ("e*", ""),
        ("*", ""),
        ("ens*", "ens192"),
        ("ens[0-9]", ""),
        ("!ens192", ""),
        ("lo", ""),
        ("br0", ""),
        ("bond0", ""),
        ("docker0", ""),
        ("vlan10", ""),
        ("../../x", ""),
        ("a" * 16, ""),
        ("x\nName=y", ""),
        ("", ""),
    ],
)
def test_names_of_cards(text: str, name: str) -> None:
    assert card_name(text) == name


@pytest.mark.parametrize(
    ("names", "told", "cards", "binding"),
    [
        ([], {}, [A], Binding()),
        (["ens192"], {}, [A], Binding({"ens192": A})),
        (["ens192"], {"ens192": [A]}, [], Binding({"ens192": A})),
        (["ens192"], {"ens192": ["", B]}, [A, B], Binding({"ens192": B})),
        (["ens192"], {"ens192": [C]}, [A], Binding({"ens192": A})),  # a clone's old rule
        (["ens192", "ens224"], {}, [A, B], Binding({"ens192": A, "ens224": B}, ("ens192", "ens224"))),
        (["ens161", "ens256"], {}, [A, B], Binding({"ens256": A, "ens161": B}, ("ens256", "ens161"))),
        (["eth10", "eth9"], {}, [A, B], Binding({"eth9": A, "eth10": B}, ("eth9", "eth10"))),
        (["ens224"], {}, [A, B, C], Binding({"ens224": B}, ("ens224",))),
        (["eth1"], {}, [A, B, C], Binding({"eth1": B}, ("eth1",))),
        (["lan"], {}, [A, B], Binding(lost=("lan",))),
        (["ens192", "ens224"], {"ens192": [A], "ens224": [B]}, [A], Binding({"ens192": A, "ens224": B})),
        (["ens192"], {}, [], Binding(lost=("ens192",))),
        (["enx005056aabb01"], {}, [], Binding({"enx005056aabb01": A})),
        (["a", "b"], {"a": [A], "b": [A]}, [], Binding({"a": A}, lost=("b",))),
    ],
)
def test_each_name_finds_its_card(
    names: list[str], told: dict[str, list[str]], cards: list[str], binding: Binding
) -> None:
    assert bind(names, told, cards) == binding


def test_a_link_matches_the_card_and_nothing_that_is_on_it() -> None:
    text = link_text("ens192", A)
    assert text.endswith(f"[Match]\nMACAddress={A}\nPath=*\n\n[Link]\nName=ens192\n")
    assert link_text("ens192", "").endswith("[Match]\nDriver=virtio_net\nPath=*\n\n[Link]\nName=ens192\n")
    assert link_path("ens192") == "/etc/systemd/network/10-hypersdkd-ens192.link"


def test_rules_name_each_card() -> None:
    assert (
        rule_text({"eth1": B, "eth0": A})
        .split("\n")[1]
        .endswith(f'ATTR{{address}}=="{A}", ATTR{{type}}=="1", NAME="eth0"')
    )
