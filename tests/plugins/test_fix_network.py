"""Network cards' names, in a guest."""

from __future__ import annotations

import pytest
from hypersdkd_plugins.fix_network import fix_network

from tests.plugins.distributions import DEFAULT_LINK, MAC
from tests.plugins.paper_system import Entry, Link, PaperContext, PaperSystem

OTHER = "00:50:56:aa:bb:02"
LINK = "/etc/systemd/network/10-hypersdkd-{}.link"
RULES = "/etc/udev/rules.d/70-hypersdkd-net.rules"
INTERFACES = "iface ens192 inet static\n  address 10.0.2.77/24\n"


Run = tuple[PaperSystem, PaperContext]


def run(files: dict[str, Entry | str], macs: list[str] | None = None, level: str = "full") -> Run:
    system = PaperSystem({**DEFAULT_LINK, **files})
    context = PaperContext(system, {"fix_level": level}, {"nics": [{"mac": mac} for mac in macs or ()]})
    fix_network(context)
    return system, context


def changed(system: PaperSystem) -> list[str]:
    return [change.path for change in system.changes]


def test_the_mac_comes_from_the_guests_own_file() -> None:
    text = f"network: {{ethernets: {{x: {{match: {{macaddress: '{MAC}'}}, set-name: ens192, dhcp4: true}}}}}}"
    system, context = run({"/etc/netplan/x.yaml": text})
    assert f"MACAddress={MAC}" in system.text(LINK.format("ens192"))
    assert context.warnings == []


def test_one_interface_without_a_mac_is_given_to_whichever_card_there_is() -> None:
    system, context = run({"/etc/network/interfaces": INTERFACES})
    assert "[Match]\nDriver=virtio_net\nPath=*\n" in system.text(LINK.format("ens192"))
    assert context.findings["interfaces"] == [
        {"name": "ens192", "mac": "", "file": "/etc/network/interfaces", "addresses": ["10.0.2.77/24"]}
    ]


def test_several_without_a_mac_are_a_warning() -> None:
    system, context = run({"/etc/network/interfaces": f"{INTERFACES}iface ens224 inet dhcp\n"})
    assert changed(system) == []
    [warning] = context.warnings
    assert (warning.code, warning.message) == ("guest-network", "the MACs are not known of: ens192, ens224")


def test_several_by_order_are_told() -> None:
    system, context = run({"/etc/network/interfaces": f"{INTERFACES}iface ens224 inet dhcp\n"}, [MAC, OTHER])
    assert f"MACAddress={OTHER}" in system.text(LINK.format("ens224"))
    [warning] = context.warnings
    assert warning.message == f"names were given to cards by their order: ens192 {MAC}, ens224 {OTHER}"


def test_what_matches_by_mac_needs_no_name() -> None:
    text = f"[Match]\nMACAddress={MAC}\n[Network]\nDHCP=yes\n"
    system, context = run({"/etc/systemd/network/a.network": text}, [MAC])
    assert changed(system) == []
    [told] = context.findings["interfaces"]  # type: ignore[misc]
    assert (told["name"], told["mac"]) == ("", MAC)


def test_a_card_that_is_matched_by_mac_is_not_given_to_another_name() -> None:
    files: dict[str, Entry | str] = {
        "/etc/systemd/network/a.network": f"[Match]\nMACAddress={MAC}\n",
        "/etc/systemd/network/b.network": "[Match]\nName=ens224\n",
    }
    system, _ = run(files, [MAC, OTHER])
    assert changed(system) == [LINK.format("ens224")]
    assert f"MACAddress={OTHER}" in system.text(LINK.format("ens224"))


def test_the_guests_own_link_is_enough() -> None:
    files: dict[str, Entry | str] = {
        "/etc/systemd/network/70-lan.link": f"[Match]\nMACAddress={MAC}\n[Link]\nName=ens192\n",
        "/etc/network/interfaces": INTERFACES,
    }
    system, context = run(files, [MAC])
    assert changed(system) == []
    assert context.warnings == []


MASKED = {"/etc/udev/rules.d/80-net-setup-link.rules": Link("/dev/null")}
STALE = {"/etc/udev/rules.d/60-old.rules": 'SUBSYSTEM=="net", KERNELS=="0000:03:00.0", NAME="lan0"\n'}


@pytest.mark.parametrize("files", [MASKED, {**MASKED, **STALE}])
def test_where_links_are_not_read_rules_are_written(files: dict[str, Entry | str]) -> None:
    system, context = run({**files, "/etc/network/interfaces": INTERFACES}, [MAC])
    assert f'ATTR{{address}}=="{MAC}", ATTR{{type}}=="1", NAME="ens192"\n' in system.text(RULES)
    assert LINK.format("ens192") not in system.files
    assert context.warnings == []
    again = PaperSystem(system.files)
    fix_network(PaperContext(again, {}, {"nics": [{"mac": MAC}]}))
    assert again.changes == ()


def test_a_rule_that_names_the_card_already_is_enough() -> None:
    rule = f'SUBSYSTEM=="net", DRIVERS=="?*", ATTR{{address}}=="{MAC}", NAME="ens192"\n'
    files: dict[str, Entry | str] = {
        **MASKED,
        "/etc/udev/rules.d/70-persistent-net.rules": rule,
        "/etc/network/interfaces": INTERFACES,
    }
    assert changed(run(files, [MAC])[0]) == []


def test_basic_binds_names_and_removes_stale_rules_alone() -> None:
    files: dict[str, Entry | str] = {
        "/etc/network/interfaces": INTERFACES,
        "/etc/systemd/network/50-a.network": "[Match]\nDriver=vmxnet3\n",
        "/etc/udev/rules.d/70-persistent-net.rules": 'SUBSYSTEM=="net", DRIVERS=="vmxnet3", NAME="ens192"\n',
    }
    basic = ["/etc/udev/rules.d/70-persistent-net.rules", LINK.format("ens192")]
    assert changed(run(files, [MAC], "basic")[0]) == basic
    assert "/etc/systemd/network/50-a.network" in changed(run(files, [MAC])[0])


def test_a_match_by_bus_becomes_one_by_mac_or_a_warning() -> None:
    path = "/etc/systemd/network/50-a.network"
    files: dict[str, Entry | str] = {path: "[Match]\nPath=pci-0000:0b:00.0\n[Network]\nDHCP=yes\n"}
    system, _ = run(files, [MAC])
    assert system.text(path) == f"[Match]\nMACAddress={MAC}\n[Network]\nDHCP=yes\n"
    system, context = run(files, [MAC, OTHER])
    assert changed(system) == []
    assert [warning.code for warning in context.warnings] == ["guest-network"]


def test_interfaces_that_networkd_makes_are_no_cards() -> None:
    files: dict[str, Entry | str] = {
        "/etc/systemd/network/lan.netdev": "[NetDev]\nName=lanbr\nKind=bridge\n",
        "/etc/systemd/network/lan.network": "[Match]\nName=lanbr\n[Network]\nAddress=10.0.2.77/24\n",
    }
    assert changed(run(files, [MAC])[0]) == []


def test_cloud_init_is_left_alone_where_it_gave_no_address() -> None:
    files: dict[str, Entry | str] = {
        "/etc/cloud/cloud.cfg.d/x.cfg": "",
        "/etc/netplan/50-cloud-init.yaml": "network: {ethernets: {ens192: {dhcp4: true}}}",
    }
    assert changed(run(files, [MAC])[0]) == [LINK.format("ens192")]


def test_hostile_names_and_texts_are_contained() -> None:
    files: dict[str, Entry | str] = {
        "/etc/network/interfaces": "iface ../../x inet dhcp\niface \x1b[3m inet dhcp\niface e;reboot inet dhcp\n",
        "/etc/netplan/bomb.yaml": "a: &a [*a]\n",
        "/etc/NetworkManager/system-connections/x": Link("/etc/shadow"),
        "/etc/shadow": "[connection]\ntype=ethernet\ninterface-name=secret\n",
    }
    system, context = run(files, [MAC])
    assert changed(system) == []
    assert {warning.code for warning in context.warnings} == {"guest-file-unusual"}
    assert "secret" not in repr((context.findings, context.warnings))


@pytest.mark.parametrize("nics", [None, "x", [1, {"mac": 7}, {"mac": "x"}, {}], {"mac": MAC}])
def test_findings_of_any_shape(nics: object) -> None:
    system = PaperSystem(DEFAULT_LINK)
    fix_network(PaperContext(system, {}, {"nics": nics}))
    assert system.changes == ()
